/* Arrays of Python: their element types, their texts in messages, and their memory. */
#include "python/python.h"

static const struct ElementRow {
    const char *name, *format;
    int bytes;
} elements[] = {
    [CAI_F32] = {"float32", "f", 4}, [CAI_F16] = {"float16", "e", 2}, [CAI_BF16] = {"uint16", "H", 2},
    [CAI_I8] = {"int8", "b", 1},     [CAI_I32] = {"int32", "i", 4},   [CAI_I64] = {"int64", "q", 8},
    [CAI_BOOL] = {"bool", "?", 1}};

const char *cai_element_name(cai_type type) { return elements[type].name; }
const char *cai_element_format(cai_type type) { return elements[type].format; }
int64_t cai_element_bytes(cai_type type) { return elements[type].bytes; }

int64_t cai_array_bytes(const cai_array *array) {
    int64_t bytes = cai_element_bytes(array->info.type);
    for (int axis = 0; axis < array->info.rank; axis++)
        if (__builtin_mul_overflow(bytes, array->shape[axis], &bytes)) return INT64_MAX;
    return bytes;
}

/* ---- as text ---- */

/* Reads the view's format, as in the struct module. Native order is little-endian on all
 * processors that programs are built for. */
void cai_view_element(const Py_buffer *view, char name[CAI_ARRAY_TEXT]) {
    const char *format = view->format ? view->format : "B";
    bool reversed = (*format == '>' || *format == '!') && view->itemsize > 1;
    if (*format && strchr("@=<>!", *format)) format++;
    const char *kind = NULL;
    if (*format && !format[1])
        kind = strchr("efdg", *format)     ? "float"
               : strchr("bhilqn", *format) ? "int"
               : strchr("BHILQN", *format) ? "uint"
                                           : NULL;
    const char *order = reversed ? "big-endian " : "";
    if (kind) snprintf(name, CAI_ARRAY_TEXT, "%s%s%zd", order, kind, view->itemsize * 8);
    else snprintf(name, CAI_ARRAY_TEXT, "%s%s", order, strcmp(format, "?") == 0 ? "bool" : format);
}

const char *cai_view_text(const Py_buffer *view, char text[CAI_ARRAY_TEXT]) {
    cai_view_element(view, text);
    size_t used = strlen(text);
    for (int axis = 0; axis < view->ndim && used < CAI_ARRAY_TEXT; axis++)
        used += (size_t)snprintf(text + used, CAI_ARRAY_TEXT - used, "%s%zd", axis ? ", " : "[",
                                 view->shape[axis]);
    if (used < CAI_ARRAY_TEXT) snprintf(text + used, CAI_ARRAY_TEXT - used, view->ndim ? "]" : "[]");
    return text;
}

/* ---- memory ---- */

PyObject *cai_shape_tuple(const int64_t *shape, int rank) {
    PyObject *tuple = PyTuple_New(rank);
    for (int axis = 0; tuple && axis < rank; axis++)
        PyTuple_SetItem(tuple, axis, PyLong_FromLongLong(shape[axis])); /* steals the reference */
    return tuple;
}

PyObject *cai_make_memory(const char *format, int64_t bytes, PyObject *shape) {
    PyObject *memory = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)bytes);
    PyObject *flat = memory ? PyMemoryView_FromObject(memory) : NULL;
    PyObject *view = flat ? PyObject_CallMethod(flat, "cast", "sO", format, shape) : NULL;
    Py_XDECREF(flat);
    Py_XDECREF(memory);
    return view;
}

bool cai_array_allocate(cai_array *array) {
    array->elements = malloc((size_t)cai_array_bytes(array) + 1);
    if (!array->elements) PyErr_NoMemory();
    return array->elements != NULL;
}

cai_pixels cai_array_pixels(const cai_array *array, int64_t place) {
    const Py_ssize_t *strides = array->view.strides + (array->view.ndim == 4);
    return (cai_pixels){.data = (unsigned char *)array->view.buf +
                                (array->view.ndim == 4 ? place * array->view.strides[0] : 0),
                        .channels = (int)array->shape[1],
                        .height = array->shape[2],
                        .width = array->shape[3],
                        .pixel_bytes = (int)strides[1],
                        .row_bytes = strides[0]};
}

void cai_array_release(cai_array *array) {
    if (array->view.obj) PyBuffer_Release(&array->view);
    Py_CLEAR(array->result);
    free(array->elements);
    array->elements = NULL;
}
