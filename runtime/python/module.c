/* The extension module `_model`: run(inputs, threads, seed) and labels. The wheel's
 * __init__.py gives these the signature of the model (compiler/object/python_text.c).
 *
 * Python's lock is released while a model runs. Each call takes a context for itself, an
 * idle one if there is any, so any number of threads may call at once. */
#include "python/python.h"

#define MAX_IDLE 16 /* contexts that are kept for later calls */

typedef struct Idle {
    cai_model_context *context;
    int threads; /* the number of threads it is set to */
} Idle;

typedef struct State { /* of the module; used only with Python's lock held */
    Idle idle[MAX_IDLE];
    int idle_count;
    bool sought;     /* whether numpy was looked for */
    PyObject *empty; /* numpy.empty, or NULL */
} State;

typedef struct Call {
    State *state;
    Idle own;
    int input_count, output_count;
    cai_array *inputs, *outputs;
    cai_in *ins;
    cai_out *outs;
} Call;

/* ---- contexts ---- */

/* The most recent idle context with this number of threads, or else the most recent
 * one. */
static Idle take_idle(State *state, int threads) {
    int at = state->idle_count - 1;
    while (at > 0 && state->idle[at].threads != threads) at--;
    if (state->idle[at].threads != threads) at = state->idle_count - 1;
    Idle taken = state->idle[at];
    state->idle[at] = state->idle[--state->idle_count];
    return taken;
}

static void keep_idle(State *state, Idle idle) {
    if (state->idle_count < MAX_IDLE) state->idle[state->idle_count++] = idle;
    else cai_model_destroy(idle.context);
}

static bool raise_status(cai_status status, const char *message, const char *given) {
    PyObject *exception = status == CAI_NO_MEMORY   ? PyExc_MemoryError
                          : status == CAI_WRONG_CPU ? PyExc_ImportError
                          : status == CAI_INTERNAL  ? PyExc_RuntimeError
                                                    : PyExc_ValueError;
    PyErr_Format(exception, "%s%s", message, given);
    return false;
}

static bool make_idle(State *state) {
    cai_model_context *context;
    cai_status status = cai_model_create(&context);
    if (status) return raise_status(status, cai_model_status_text(status), "");
    keep_idle(state, (Idle){context, 0});
    return true;
}

static bool provide_context(Call *call, int threads, int64_t seed) {
    if (!call->state->idle_count && !make_idle(call->state)) return false;
    call->own = take_idle(call->state, threads);
    cai_model_context *context = call->own.context;
    cai_status status = call->own.threads == threads ? CAI_OK : cai_model_set_threads(context, threads);
    if (!status) call->own.threads = threads;
    if (!status) status = cai_model_set_seed(context, seed);
    return !status || raise_status(status, cai_model_message(context), "");
}

/* ---- a call ---- */

static bool begin_call(Call *call, State *state) {
    call->state = state;
    call->input_count = cai_model_input_count();
    call->output_count = cai_model_output_count();
    call->inputs = calloc((size_t)call->input_count + 1, sizeof *call->inputs);
    call->outputs = calloc((size_t)call->output_count + 1, sizeof *call->outputs);
    call->ins = calloc((size_t)call->input_count + 1, sizeof *call->ins);
    call->outs = calloc((size_t)call->output_count + 1, sizeof *call->outs);
    if (call->inputs && call->outputs && call->ins && call->outs) return true;
    PyErr_NoMemory();
    return false;
}

static void end_call(Call *call) {
    for (int i = 0; call->inputs && i < call->input_count; i++) cai_array_release(&call->inputs[i]);
    for (int i = 0; call->outputs && i < call->output_count; i++) cai_array_release(&call->outputs[i]);
    if (call->own.context) keep_idle(call->state, call->own);
    free(call->inputs);
    free(call->outputs);
    free(call->ins);
    free(call->outs);
}

static bool take_inputs(Call *call, PyObject *given) {
    for (int i = 0; i < call->input_count; i++) {
        cai_array *input = &call->inputs[i];
        PyObject *object = PyTuple_GetItem(given, i);
        if (!object || !cai_input_take(input, i, object)) return false;
        call->ins[i] = (cai_in){.data = input->elements ? input->elements : input->view.buf,
                                .bytes = (size_t)cai_array_bytes(input),
                                .shape = input->shape,
                                .rank = input->info.rank};
    }
    return true;
}

/* Raises the model's message, followed by the arrays that were given. */
static bool raise_refused(Call *call, cai_status status) {
    char given[2 * CAI_ARRAY_TEXT] = "", text[CAI_ARRAY_TEXT];
    size_t used = 0;
    for (int i = 0; status == CAI_BAD_INPUT && i < call->input_count && used < sizeof given; i++)
        used += (size_t)snprintf(given + used, sizeof given - used, "%s%s %s",
                                 i ? ", " : "; given: ", call->inputs[i].info.name,
                                 cai_view_text(&call->inputs[i].view, text));
    return raise_status(status, cai_model_message(call->own.context), given);
}

static bool prepare_call(Call *call) {
    cai_status status;
    Py_BEGIN_ALLOW_THREADS;
    status = cai_model_prepare(call->own.context, call->ins, call->input_count);
    Py_END_ALLOW_THREADS;
    return !status || raise_refused(call, status);
}

/* Pictures are returned in the form of the first picture that was given. */
static cai_style style_of_call(const Call *call) {
    for (int i = 0; i < call->input_count; i++)
        if (call->inputs[i].pixels) return (cai_style){true, call->inputs[i].view.ndim};
    return (cai_style){0};
}

static bool find_numpy(State *state) {
    if (state->sought) return true;
    PyObject *numpy = PyImport_ImportModule("numpy");
    if (numpy) state->empty = PyObject_GetAttrString(numpy, "empty");
    Py_XDECREF(numpy);
    if (!state->empty && !PyErr_ExceptionMatches(PyExc_ImportError)) return false;
    PyErr_Clear();
    return state->sought = true;
}

static bool make_outputs(Call *call) {
    cai_style style = style_of_call(call);
    if (!find_numpy(call->state)) return false;
    for (int i = 0; i < call->output_count; i++) {
        cai_array *output = &call->outputs[i];
        cai_model_output_shape(call->own.context, i, output->shape, CAI_MAX_RANK);
        if (!cai_output_make(output, i, style, call->state->empty)) return false;
        call->outs[i] = (cai_out){.data = output->elements ? output->elements : output->view.buf,
                                  .bytes = (size_t)cai_array_bytes(output)};
    }
    return true;
}

static bool run_call(Call *call) {
    cai_status status;
    Py_BEGIN_ALLOW_THREADS;
    for (int i = 0; i < call->input_count; i++) cai_input_convert(&call->inputs[i]);
    status = cai_model_run(call->own.context, call->ins, call->input_count, call->outs, call->output_count);
    for (int i = 0; !status && i < call->output_count; i++) cai_output_convert(&call->outputs[i]);
    Py_END_ALLOW_THREADS;
    return !status || raise_refused(call, status);
}

/* The results as a tuple. */
static PyObject *results_of_call(Call *call) {
    PyObject *results = PyTuple_New(call->output_count);
    for (int i = 0; results && i < call->output_count; i++) {
        PyObject *result = cai_output_result(&call->outputs[i], i, call->own.context);
        if (result) PyTuple_SetItem(results, i, result); /* steals the reference */
        else Py_CLEAR(results);
    }
    return results;
}

static PyObject *run_model(PyObject *module, PyObject *arguments) {
    PyObject *given, *results = NULL;
    Call call = {0};
    int threads;
    long long seed;
    if (!PyArg_ParseTuple(arguments, "O!iL", &PyTuple_Type, &given, &threads, &seed)) return NULL;
    if (begin_call(&call, PyModule_GetState(module)) && take_inputs(&call, given) &&
        provide_context(&call, threads, seed) && prepare_call(&call) && make_outputs(&call) &&
        run_call(&call))
        results = results_of_call(&call);
    end_call(&call);
    return results;
}

/* ---- the module ---- */

static PyObject *label_tuple(const cai_info *info) {
    PyObject *labels = PyTuple_New(info->label_count);
    for (int i = 0; labels && i < info->label_count; i++) {
        PyObject *label =
            PyUnicode_DecodeUTF8(info->labels[i], (Py_ssize_t)strlen(info->labels[i]), "replace");
        if (label) PyTuple_SetItem(labels, i, label); /* steals the reference */
        else Py_CLEAR(labels);
    }
    return labels;
}

static bool add_output_labels(PyObject *labels, int output) {
    cai_info info;
    cai_model_output_info(output, &info);
    if (!info.label_count) return true;
    PyObject *tuple = label_tuple(&info);
    bool good = tuple && PyDict_SetItemString(labels, info.name, tuple) == 0;
    Py_XDECREF(tuple);
    return good;
}

/* Adds a dict from each output with labels to its labels. */
static bool set_labels(PyObject *module) {
    PyObject *labels = PyDict_New();
    bool good = labels != NULL;
    for (int i = 0; good && i < cai_model_output_count(); i++) good = add_output_labels(labels, i);
    good = good && PyModule_AddObjectRef(module, "labels", labels) == 0;
    Py_XDECREF(labels);
    return good;
}

static void free_state(void *module) {
    State *state = PyModule_GetState(module);
    for (int i = 0; state && i < state->idle_count; i++) cai_model_destroy(state->idle[i].context);
    if (state) Py_CLEAR(state->empty);
}

static PyMethodDef methods[] = {
    {"run", run_model, METH_VARARGS, "run(inputs, threads, seed): a tuple of results"}, {0}};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_model",
    .m_size = sizeof(State),
    .m_methods = methods,
    .m_free = free_state,
};

/* Creates a context at import, so that a CPU for which the model was not built raises an
 * ImportError here. */
PyMODINIT_FUNC PyInit__model(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module && !(make_idle(PyModule_GetState(module)) && set_labels(module))) Py_CLEAR(module);
    return module;
}
