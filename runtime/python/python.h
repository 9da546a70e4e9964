/* The Python wing: a model as the extension module of a wheel (compiler/object/wheel.c).
 * It uses Python's stable ABI, from 3.11 on, and the functions of cai.h. Arrays are
 * exchanged by the buffer protocol, so numpy is needed neither to build a wheel nor to
 * run it.
 *
 * Functions that return bool return false with a Python exception set. */
#ifndef CAI_PYTHON_H
#define CAI_PYTHON_H

#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "cai.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- array.c: one input or output of a call ---- */

typedef struct cai_array {
    cai_info info;
    Py_buffer view;              /* of the caller's array, or of a result; its obj is NULL if there is none */
    int64_t shape[CAI_MAX_RANK]; /* in the model's order of axes */
    void *elements;              /* memory for elements that cannot be used in place; or NULL */
    bool pixels;                 /* the view has 8-bit samples, channels last */
    PyObject *result;            /* of an output: what the caller receives */
} cai_array;

#define CAI_ARRAY_TEXT 400

const char *cai_element_name(cai_type type);   /* as in numpy: "float32"; bf16 is "uint16", its bits */
const char *cai_element_format(cai_type type); /* as in the struct module: "f" */
int64_t cai_element_bytes(cai_type type);
/* Bytes of all elements in the model's type; INT64_MAX if there are more. */
int64_t cai_array_bytes(const cai_array *array);
/* The element type of a view: "float64". */
void cai_view_element(const Py_buffer *view, char name[CAI_ARRAY_TEXT]);
/* Type and shape of a view: "uint8[480, 640, 3]". */
const char *cai_view_text(const Py_buffer *view, char text[CAI_ARRAY_TEXT]);
/* A memoryview of new memory; returns a new reference. */
PyObject *cai_make_memory(const char *format, int64_t bytes, PyObject *shape);
PyObject *cai_shape_tuple(const int64_t *shape, int rank);
/* Allocates `elements`. */
bool cai_array_allocate(cai_array *array);
/* The picture at an index of the first axis. */
cai_pixels cai_array_pixels(const cai_array *array, int64_t place);
void cai_array_release(cai_array *array);

/* ---- input.c ---- */

/* Takes an object as input `index`. Its elements are used in place if their type and
 * order allow it, else copied. */
bool cai_input_take(cai_array *input, int index, PyObject *object);
/* Converts pixels to planes. Does not need Python's lock. */
void cai_input_convert(cai_array *input);

/* ---- output.c ---- */

typedef struct cai_style { /* how a call returns pictures */
    bool pixels;           /* as 8-bit samples, channels last */
    int rank;              /* of their arrays: 4; 3 without the axis of pictures; 2 without channels, too */
} cai_style;

/* Makes the array for output `index`, whose shape must be known. `empty` is numpy.empty
 * or NULL. */
bool cai_output_make(cai_array *output, int index, cai_style style, PyObject *empty);
/* Converts planes to pixels. Does not need Python's lock. */
void cai_output_convert(cai_array *output);
/* What the caller receives after the run; returns a new reference. */
PyObject *cai_output_result(cai_array *output, int index, cai_model_context *context);

#endif
