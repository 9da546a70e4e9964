/* Results of a call: arrays of numpy if it can be imported, else memoryviews; pictures in
 * the form in which they were given; strings for text. */
#include "python/python.h"

/* Before Python 3.12 memoryviews have no f16, so the elements are returned as their
 * bits. */
static PyObject *make_memoryview(const cai_array *output, PyObject *shape) {
    int64_t bytes = cai_array_bytes(output);
    if (output->pixels) return cai_make_memory("B", bytes / (int64_t)sizeof(float), shape);
    PyObject *made = cai_make_memory(cai_element_format(output->info.type), bytes, shape);
    if (made || output->info.type != CAI_F16 || !PyErr_ExceptionMatches(PyExc_ValueError)) return made;
    PyErr_Clear();
    return cai_make_memory("H", bytes, shape);
}

static PyObject *make_result(const cai_array *output, PyObject *empty, const int64_t *sizes, int rank) {
    const char *name = output->pixels ? "uint8" : cai_element_name(output->info.type);
    PyObject *shape = cai_shape_tuple(sizes, rank), *made = NULL;
    if (shape && empty) made = PyObject_CallFunction(empty, "Os", shape, name);
    else if (shape) made = make_memoryview(output, shape);
    Py_XDECREF(shape);
    return made;
}

/* Picture results are [pictures, height, width, channels]; the style says which axes to
 * leave out. */
static PyObject *make_picture(const cai_array *output, cai_style style, PyObject *empty) {
    const int64_t *s = output->shape, sizes[] = {s[0], s[2], s[3], s[1]};
    bool together = style.rank == 4 || s[0] != 1;
    bool gray = style.rank == 2 && s[1] == 1 && !together;
    return make_result(output, empty, sizes + !together, 3 + together - gray);
}

bool cai_output_make(cai_array *output, int index, cai_style style, PyObject *empty) {
    cai_model_output_info(index, &output->info);
    const cai_info *info = &output->info;
    if (info->form == CAI_FORM_TEXT) return cai_array_allocate(output);
    output->pixels = info->is_picture && style.pixels;
    if (output->pixels && !cai_array_allocate(output)) return false;
    output->result = output->pixels ? make_picture(output, style, empty)
                                    : make_result(output, empty, output->shape, info->rank);
    return output->result && PyObject_GetBuffer(output->result, &output->view, PyBUF_STRIDED) == 0;
}

void cai_output_convert(cai_array *output) {
    int64_t each = cai_array_bytes(output) / output->shape[0];
    for (int64_t i = 0; i < output->shape[0] && output->pixels; i++) {
        cai_pixels pixels = cai_array_pixels(output, i);
        cai_model_to_pixels((const float *)output->elements + i * (each / (int64_t)sizeof(float)),
                            (size_t)each, &pixels);
    }
}

/* ---- text ---- */

static PyObject *read_string(const cai_array *output, int index, int64_t row, cai_model_context *context) {
    const float *scores = output->elements;
    size_t length = 0;
    cai_model_text(context, index, scores, row, NULL, 0, &length);
    char *text = malloc(length + 1);
    if (!text) return PyErr_NoMemory();
    cai_model_text(context, index, scores, row, text, length + 1, NULL);
    PyObject *string = PyUnicode_DecodeUTF8(text, (Py_ssize_t)length, "replace");
    free(text);
    return string;
}

static PyObject *read_strings(const cai_array *output, int index, cai_model_context *context) {
    PyObject *list = PyList_New((Py_ssize_t)output->shape[0]);
    for (int64_t row = 0; list && row < output->shape[0]; row++) {
        PyObject *string = read_string(output, index, row, context);
        if (string) PyList_SetItem(list, (Py_ssize_t)row, string); /* steals the reference */
        else Py_CLEAR(list);
    }
    return list;
}

PyObject *cai_output_result(cai_array *output, int index, cai_model_context *context) {
    if (output->info.form == CAI_FORM_TEXT) return read_strings(output, index, context);
    return Py_NewRef(output->result);
}
