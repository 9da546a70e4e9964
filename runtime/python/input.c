/* Inputs of a call. An array in the model's own type and order of axes is used in place
 * if it is dense. Pictures may also be 8-bit samples, [pictures, height, width,
 * channels], without the first axis or, for gray pictures, without the first and the
 * last. */
#include "python/python.h"
#include <limits.h>

/* ---- errors ---- */

static bool refuse_array(PyObject *exception, const cai_array *input, const char *given, const char *help) {
    const char *sizes = strchr(input->info.text, '['), *name = cai_element_name(input->info.type);
    char pixels[64] = "";
    if (input->info.is_picture)
        snprintf(pixels, sizeof pixels, " or uint8[.., height, width, %lld]",
                 (long long)input->info.axes[1].size);
    PyErr_Format(exception, "input `%s` takes %s%s%s, and this is %s%s", input->info.name, name,
                 sizes ? sizes : "[]", pixels, given, help);
    return false;
}

static bool refuse_object(const cai_array *input, PyObject *object) {
    PyObject *type = PyType_GetName(Py_TYPE(object));
    const char *name = type ? PyUnicode_AsUTF8AndSize(type, NULL) : NULL;
    PyErr_Clear();
    refuse_array(PyExc_TypeError, input, name ? name : "no array", "");
    Py_XDECREF(type);
    return false;
}

static bool refuse_view(PyObject *exception, const cai_array *input) {
    char given[CAI_ARRAY_TEXT], help[80] = "";
    if (exception == PyExc_TypeError && !input->info.is_picture)
        snprintf(help, sizeof help, ": convert it by astype('%s')", cai_element_name(input->info.type));
    return refuse_array(exception, input, cai_view_text(&input->view, given), help);
}

/* ---- shapes ---- */

static bool is_of_pixels(const cai_array *input) {
    char given[CAI_ARRAY_TEXT];
    cai_view_element(&input->view, given);
    return input->info.is_picture && strcmp(given, "uint8") == 0;
}

static bool read_dense_shape(cai_array *input) {
    char given[CAI_ARRAY_TEXT];
    cai_view_element(&input->view, given);
    if (strcmp(given, cai_element_name(input->info.type)) != 0) return refuse_view(PyExc_TypeError, input);
    if (input->view.ndim != input->info.rank) return refuse_view(PyExc_ValueError, input);
    for (int axis = 0; axis < input->view.ndim; axis++) input->shape[axis] = input->view.shape[axis];
    return true;
}

static bool read_shape_of_pixels(cai_array *input) {
    const Py_buffer *view = &input->view;
    const int64_t channels = input->info.axes[1].size;
    const Py_ssize_t *picture = view->shape + (view->ndim == 4);
    bool gray = view->ndim == 2 && channels == 1, whole = view->ndim == 3 || view->ndim == 4;
    if (!gray && !(whole && picture[2] == channels)) return refuse_view(PyExc_ValueError, input);
    input->pixels = true;
    input->shape[0] = view->ndim == 4 ? view->shape[0] : 1;
    input->shape[1] = channels;
    input->shape[2] = picture[0];
    input->shape[3] = picture[1];
    return true;
}

/* ---- elements ---- */

/* Copies the elements to dense memory of our own. */
static bool copy_elements(cai_array *input) {
    if (!cai_array_allocate(input)) return false;
    return PyBuffer_ToContiguous(input->elements, &input->view, input->view.len, 'C') == 0;
}

static bool provide_dense(cai_array *input) {
    bool aligned = (uintptr_t)input->view.buf % (uintptr_t)cai_element_bytes(input->info.type) == 0;
    return (aligned && PyBuffer_IsContiguous(&input->view, 'C')) || copy_elements(input);
}

/* Whether the library can read the pixels in place: the channels of a pixel are adjacent,
 * and pixels have a regular distance. */
static bool pixels_serve(const cai_array *input) {
    const Py_buffer *view = &input->view;
    const Py_ssize_t pixel = view->strides[view->ndim == 4 ? 2 : 1];
    return (view->ndim == 2 || view->strides[view->ndim - 1] == 1 || input->shape[1] == 1) &&
           pixel >= input->shape[1] && pixel <= INT_MAX;
}

/* Replaces the view by a view of a dense copy. */
static bool copy_pixels(cai_array *input) {
    int64_t sizes[4];
    for (int axis = 0; axis < input->view.ndim; axis++) sizes[axis] = input->view.shape[axis];
    PyObject *shape = cai_shape_tuple(sizes, input->view.ndim);
    PyObject *memory = shape ? cai_make_memory("B", input->view.len, shape) : NULL;
    Py_buffer copy = {0};
    bool good = memory && PyObject_GetBuffer(memory, &copy, PyBUF_RECORDS) == 0 &&
                PyBuffer_ToContiguous(copy.buf, &input->view, copy.len, 'C') == 0;
    PyBuffer_Release(good ? &input->view : &copy);
    if (good) input->view = copy;
    Py_XDECREF(memory);
    Py_XDECREF(shape);
    return good;
}

static bool provide_pixels(cai_array *input) {
    return (pixels_serve(input) || copy_pixels(input)) && cai_array_allocate(input);
}

bool cai_input_take(cai_array *input, int index, PyObject *object) {
    cai_model_input_info(index, &input->info);
    if (!PyObject_CheckBuffer(object)) return refuse_object(input, object);
    if (PyObject_GetBuffer(object, &input->view, PyBUF_RECORDS_RO) != 0) return false;
    if (input->view.ndim > CAI_MAX_RANK) return refuse_view(PyExc_ValueError, input);
    if (is_of_pixels(input)) return read_shape_of_pixels(input) && provide_pixels(input);
    return read_dense_shape(input) && provide_dense(input);
}

void cai_input_convert(cai_array *input) {
    int64_t each = cai_array_bytes(input) / input->shape[0];
    for (int64_t i = 0; i < input->shape[0] && input->pixels; i++) {
        cai_pixels pixels = cai_array_pixels(input, i);
        cai_model_from_pixels(&pixels, (float *)input->elements + i * (each / (int64_t)sizeof(float)),
                              (size_t)each);
    }
}
