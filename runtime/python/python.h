/* The wing of Python: a model as an extension module, which a wheel has within
 * (compiler/object/wheel.c). It uses Python's stable ABI, from 3.11 on, and the functions
 * of cai.h; arrays come and go by the buffer protocol, so numpy is needed neither to
 * build it nor to run it. */
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

/* ---- array.c: an input or an output of one call ---- */

typedef struct cai_array {
    cai_info info;
    Py_buffer view;              /* of the caller's array, or of a result; obj is NULL where there is none */
    int64_t shape[CAI_MAX_RANK]; /* as the model has it */
    void *elements;              /* of its own, where those of the view cannot serve; or NULL */
    bool pixels;                 /* the view has 8-bit samples, the channels of a pixel together */
    PyObject *result;            /* of an output: what the caller gets */
} cai_array;

#define CAI_ARRAY_TEXT 400

const char *cai_element_name(cai_type type);   /* numpy's: "float32"; bf16 as its bits, "uint16" */
const char *cai_element_format(cai_type type); /* the struct module's: "f" */
int64_t cai_element_bytes(cai_type type);
/* of all elements, as the model has them; INT64_MAX where they are more */
int64_t cai_array_bytes(const cai_array *array);
/* "float64", of the elements of a view */
void cai_view_element(const Py_buffer *view, char name[CAI_ARRAY_TEXT]);
/* "uint8[480, 640, 3]" */
const char *cai_view_text(const Py_buffer *view, char text[CAI_ARRAY_TEXT]);
/* A memoryview of new memory: a new reference. */
PyObject *cai_make_memory(const char *format, int64_t bytes, PyObject *shape);
PyObject *cai_shape_tuple(const int64_t *shape, int rank);
/* Memory for all elements. False with a Python exception, as in all that follows. */
bool cai_array_allocate(cai_array *array);
/* The picture at a place of the first axis in its view. */
cai_pixels cai_array_pixels(const cai_array *array, int64_t place);
void cai_array_release(cai_array *array);

/* ---- input.c ---- */

/* Finds the elements of an object for input `index`, without a copy where they lie as the
 * model has them. */
bool cai_input_take(cai_array *input, int index, PyObject *object);
/* Makes planes of pixels. The caller need not hold Python's lock. */
void cai_input_convert(cai_array *input);

/* ---- output.c ---- */

typedef struct cai_style { /* how a call gives pictures */
    bool pixels;           /* 8-bit samples, the channels together */
    int rank;              /* of their arrays: 4; 3 without an axis of pictures; 2 without channels too */
} cai_style;

/* Makes the array of output `index`, whose shape is known; `empty` is numpy.empty or
 * NULL. */
bool cai_output_make(cai_array *output, int index, cai_style style, PyObject *empty);
/* Makes pixels of planes. The caller need not hold Python's lock. */
void cai_output_convert(cai_array *output);
/* What the caller gets, after the run: a new reference. */
PyObject *cai_output_result(cai_array *output, int index, cai_model_context *context);

#endif
