/* A train block's parameter lists: its settings, and its sets of samples, whose
 * parameters are the fields of one sample. */
#include "elaborate/train.h"

/* ---- the header ---- */

static const Parameter *first_typed(const ParameterList *list) {
    for (int i = 0; i < list->count; i++)
        if (list->items[i].type) return &list->items[i];
    return NULL;
}

static bool takes_counter_name(Evaluator *ev, const Decl *decl) {
    for (int i = 0; i < decl->lists.count; i++)
        for (int k = 0; k < decl->lists.items[i].count; k++) {
            const Parameter *parameter = &decl->lists.items[i].items[k];
            if (train_refuses_name(ev, parameter->name, parameter->span)) return true;
        }
    return false;
}

bool train_has_lists(Evaluator *ev, const Decl *decl) {
    const Parameter *typed = first_typed(&decl->lists.items[0]);
    if (takes_counter_name(ev, decl)) return false;
    if (decl->lists.count > 1 && typed) {
        Diagnostic *d =
            report(ev, DIAG_train_header, typed->span,
                   "the first of several lists has the settings of the block; the samples come after it");
        report_help(ev, d, "put an empty list before them: `train %s()(%s)`", decl->name,
                    span_text(ev->arena, typed->span));
        return false;
    }
    if (decl->lists.count > 1 || typed) return true;
    Diagnostic *d =
        report(ev, DIAG_train_header, decl->name_span, "`%s` has no samples to learn from", decl->name);
    report_help(ev, d,
                "samples go in a list after the settings: `train %s(N = 64)(photo: image[N, 3, 64, 64])`",
                decl->name);
    return false;
}

static const struct {
    const char *name;
    int unit;
} units[] = {{"step", CAI_UNIT_STEPS},     {"steps", CAI_UNIT_STEPS},    {"epoch", CAI_UNIT_EPOCHS},
             {"epochs", CAI_UNIT_EPOCHS},  {"image", CAI_UNIT_IMAGES},   {"images", CAI_UNIT_IMAGES},
             {"minute", CAI_UNIT_MINUTES}, {"minutes", CAI_UNIT_MINUTES}};

bool train_interval(Evaluator *ev, const Interval *interval, cai_interval *out) {
    Value v = evaluate(ev, interval->count);
    *out = (cai_interval){.count = v.kind == VALUE_INT    ? (double)v.integer
                                   : v.kind == VALUE_REAL ? v.real
                                                          : 0,
                          .unit = -1};
    for (int i = 0; i < COUNT_OF(units); i++)
        if (!strcmp(units[i].name, interval->unit)) out->unit = units[i].unit;
    if (out->unit < 0) {
        Diagnostic *d = report(ev, DIAG_train_length, interval->unit_span, "`%s` is not a unit of training",
                               interval->unit);
        report_help(ev, d, "the units are `steps`, `epochs`, `images` and `minutes`");
        return false;
    }
    if (v.kind != VALUE_ERROR && !(out->count > 0 && out->count < 1e15)) {
        Diagnostic *d =
            report(ev, DIAG_train_length, interval->count->span, "a number of %s must be above 0; this is %s",
                   interval->unit, value_describe(ev->arena, v));
        if (v.kind == VALUE_TENSOR) report_help(ev, d, "it must be known at compile time");
        return false;
    }
    return v.kind != VALUE_ERROR;
}

/* ---- the type of a field ---- */

static const char *const takes[] = {[CAI_TAKE_EXACT] = "exact",
                                    [CAI_TAKE_CROP] = "crop",
                                    [CAI_TAKE_STRETCH] = "stretch",
                                    [CAI_TAKE_PAD] = "pad",
                                    [CAI_TAKE_LETTERBOX] = "letterbox",
                                    [CAI_TAKE_RANDOM_CROP] = "random_crop",
                                    [CAI_TAKE_RANDOM_RESIZED] = "random_resized",
                                    [CAI_TAKE_RANDOM_BOX_CROP] = "random_box_crop"};

static bool read_fit(Evaluator *ev, const Argument *argument, Value v, TrainingField *field) {
    for (int i = 0; v.kind == VALUE_STRING && i < COUNT_OF(takes); i++)
        if (!strcmp(v.string, takes[i])) {
            field->fit = i;
            return true;
        }
    Diagnostic *d =
        report(ev, DIAG_unknown_fit, argument->span, "there is no fit %s", value_describe(ev->arena, v));
    if (v.kind == VALUE_STRING) report_suggestion(ev, d, v.string, takes, COUNT_OF(takes));
    if (d && !d->help)
        report_help(
            ev, d,
            "besides a model's fits there are \"random_crop\", \"random_resized\" and \"random_box_crop\"");
    return false;
}

static bool as_double(Value v, double *out) {
    *out = v.kind == VALUE_INT ? (double)v.integer : v.real;
    return value_is_number(v);
}

static bool read_scale(Evaluator *ev, const Argument *argument, Value v, TrainingField *field) {
    bool pair = value_is_sequence(v) && v.list->count == 2 && as_double(v.list->items[0], &field->scale[0]) &&
                as_double(v.list->items[1], &field->scale[1]);
    if (pair && field->scale[0] > 0 && field->scale[0] <= field->scale[1]) return true;
    report(ev, DIAG_train_field, argument->span,
           "`scale` is the smallest and the largest factor, `(0.5, 2.0)`; this is %s",
           value_describe(ev->arena, v));
    return false;
}

static bool read_wanted(Evaluator *ev, const Argument *argument, Value v, ValueKind kind,
                        const char *example) {
    if (v.kind == kind && !(kind == VALUE_INT && v.integer < 1)) return true;
    report(ev, DIAG_train_field, argument->span, "`%s` is written as `%s`; this is %s", argument->name,
           example, value_describe(ev->arena, v));
    return false;
}

static bool read_on(Evaluator *ev, const Argument *argument, TrainingField *field) {
    field->on = argument->value->kind == EXPR_NAME ? argument->value->name : NULL;
    if (!field->on)
        report(ev, DIAG_train_field, argument->span,
               "`on` names the picture of the same list that boxes or points lie on");
    return field->on != NULL;
}

/* A setting in a type, such as `fit = "crop"`. Pictures and tensors have different
 * settings. */
static bool read_setting(Evaluator *ev, const Argument *argument, TrainingField *field) {
    const char *name = argument->name;
    bool image = field->form == FORM_IMAGE;
    if (!image && !strcmp(name, "on")) return read_on(ev, argument, field);
    Value v = evaluate(ev, argument->value);
    if (v.kind == VALUE_ERROR) return false;
    if (image && !strcmp(name, "fit")) return read_fit(ev, argument, v, field);
    if (image && !strcmp(name, "scale")) return read_scale(ev, argument, v, field);
    if (!image && !strcmp(name, "names")) {
        field->names = v.kind == VALUE_STRING ? v.string : NULL;
        return read_wanted(ev, argument, v, VALUE_STRING, "names = \"classes.txt\"");
    }
    if (!image && !strcmp(name, "together")) {
        field->together = (int)v.integer;
        return read_wanted(ev, argument, v, VALUE_INT, "together = 2");
    }
    if (!image && !strcmp(name, "balance")) {
        field->balanced = v.truth;
        return read_wanted(ev, argument, v, VALUE_BOOL, "balance = true");
    }
    if (!image && !strcmp(name, "index")) {
        field->index = v.truth;
        return read_wanted(ev, argument, v, VALUE_BOOL, "index = true");
    }
    Diagnostic *d = report(ev, DIAG_unknown_argument, argument->span, "%s has no setting `%s`",
                           image ? "an image" : "a tensor", name);
    report_help(ev, d,
                image ? "it has `fit` and `scale`"
                      : "it has `names`, `together`, `balance`, `index` and `on`");
    return false;
}

static bool read_type(Evaluator *ev, const TypeExpr *type, DType *element, TrainingField *field) {
    bool image = !strcmp(type->name, "image"), good = true;
    *element = DTYPE_F32;
    field->form = image ? FORM_IMAGE : FORM_TENSOR;
    field->scale[0] = field->scale[1] = 1;
    if (!image && !dtype_from_name(type->name, element)) {
        Diagnostic *d = report(ev, DIAG_unknown_type, type->span, "there is no type `%s`", type->name);
        report_help(ev, d, "the types are f32, f16, bf16, i8, i32, i64, bool, and image for pictures");
        return false;
    }
    for (int i = 0; i < type->arguments.count; i++)
        if (type->arguments.items[i].name) good &= read_setting(ev, &type->arguments.items[i], field);
    return good;
}

static const Expr *first_axis(const TypeExpr *type) {
    for (int i = 0; i < type->arguments.count; i++)
        if (!type->arguments.items[i].name) return type->arguments.items[i].value;
    return NULL;
}

/* ---- sizes ---- */

static bool size_is_free(Evaluator *ev, const Parameter *parameter, const Decl *decl, Shape shape, int axis) {
    Name size = intern(ev->names, dim_string(ev->arena, shape.dims[axis]));
    Diagnostic *d = report(ev, DIAG_train_batch, parameter->type->span,
                           axis ? "the size %s of `%s` has no value" : "the batch %s of `%s` has no value",
                           size, parameter->name);
    const char *settings = decl->lists.count > 1 && decl->lists.items[0].count ? ".., " : "";
    if (axis) report_help(ev, d, "write a number, or set it with -D %s=...", size);
    else
        report_help(ev, d, "make it one of the settings: `train %s(%s%s = 64)(...)`", decl->name, settings,
                    size);
    return false;
}

static bool sizes_are_known(Evaluator *ev, const Parameter *parameter, const Decl *decl, Shape shape) {
    if (shape.rank == 0) {
        Diagnostic *d = report(ev, DIAG_train_batch, parameter->type->span, "`%s` has no axis for its batch",
                               parameter->name);
        report_help(ev, d, "the first axis counts samples: `%s: %s[N]`", parameter->name,
                    parameter->type->name);
        return false;
    }
    for (int axis = 0; axis < shape.rank && !parameter->once; axis++)
        if (!dim_is_const(shape.dims[axis], NULL)) return size_is_free(ev, parameter, decl, shape, axis);
    if (!parameter->each || dim_const_value(shape.dims[0]) == 1) return true;
    Diagnostic *d = report(ev, DIAG_train_batch, parameter->type->span,
                           "`each` takes one sample at a time, but `%s` has a batch of %lld", parameter->name,
                           (long long)dim_const_value(shape.dims[0]));
    report_help(ev, d, "its first axis must be 1");
    return false;
}

static bool input_stays(const Parameter *parameter) { return parameter->once || parameter->each; }

/* The inputs of a list are the fields of one sample, so they are all `once`, all `each`,
 * or neither. */
static void check_movement(Evaluator *ev, const ParameterList *list) {
    for (int i = 1; i < list->count; i++) {
        const Parameter *first = &list->items[0], *other = &list->items[i];
        if (first->once == other->once && first->each == other->each) continue;
        Diagnostic *d =
            report(ev, DIAG_train_header, other->span, "`%s` and `%s` are in one list, but are not both `%s`",
                   first->name, other->name, first->once || other->once ? "once" : "each");
        report_help(ev, d, "the inputs of one list are read together: put the others in a list of their own");
        return;
    }
}

static bool same_batch(Evaluator *ev, TrainingSet *set, const TrainingField *field, Shape shape) {
    if (!dim_is_const(shape.dims[0], NULL)) return true;
    int64_t batch = dim_const_value(shape.dims[0]);
    if (!set->batch) set->batch = batch;
    if (set->batch == batch) return true;
    Diagnostic *d = report(ev, DIAG_train_batch, field->span,
                           "`%s` has a batch of %lld, but others in its list have one of %lld", field->name,
                           (long long)batch, (long long)set->batch);
    report_help(
        ev, d,
        "the inputs of one list are the fields of one sample; put an input that is drawn separately in a list of its own");
    return false;
}

/* ---- fields ---- */

static Node *field_node(Evaluator *ev, const FieldPlace *place, int round, const char *name, Shape shape) {
    const TrainingField *field =
        &ev->train->plan->training->sets.items[place->set].fields.items[place->field];
    cai_binding binding = {
        .kind = CAI_BIND_FIELD, .index = place->set, .field = place->field, .round = round, .guard = -1};
    return train_input(ev, intern(ev->names, name), shape, field->form, FIT_EXACT, binding, field->span);
}

static const char *field_name(Evaluator *ev, const FieldPlace *place, int round) {
    return round ? arena_printf(ev->arena, "sample.%s.%d", place->parameter->name, round)
                 : arena_printf(ev->arena, "sample.%s", place->parameter->name);
}

/* The first pass adds fields to the sets; later passes find them there. */
static void add_field(Evaluator *ev, const Decl *decl, const Parameter *parameter, int set_index) {
    Training *training = ev->train->plan->training;
    TrainingSet *set = &training->sets.items[set_index];
    TrainingField field = {
        .name = parameter->name, .once = parameter->once, .each = parameter->each, .span = parameter->span};
    DType element;
    Shape shape;
    frame_bind(ev, ev->frame, parameter->name, value_error, parameter->span);
    if (!parameter->type) {
        Diagnostic *d =
            report(ev, DIAG_missing_type, parameter->span, "the input `%s` needs a type", parameter->name);
        if (parameter->fallback)
            report_help(ev, d,
                        "settings go in a list before that of the samples: `train %s(%s)(x: image[..])`",
                        decl->name, span_text(ev->arena, parameter->span));
        else
            report_help(
                ev, d,
                "`%s: image[N, 3, 64, 64]` or `%s: i32[N]`; settings go in the first list of the block",
                parameter->name, parameter->name);
        return;
    }
    if (!read_type(ev, parameter->type, &element, &field) ||
        !input_sizes(ev, parameter->type, element, &shape))
        return;
    if (!sizes_are_known(ev, parameter, decl, shape) || !same_batch(ev, set, &field, shape)) return;
    if (field.form == FORM_IMAGE && !check_picture(ev, parameter->type, FIT_EXACT, shape)) return;
    const Expr *first = first_axis(parameter->type);
    FieldPlace place = {.parameter = parameter,
                        .set = set_index,
                        .field = -1,
                        .shape = shape,
                        .batch = first->kind == EXPR_NAME ? first->name : NULL};
    for (int i = 0; i < set->fields.count; i++)
        if (set->fields.items[i].name == field.name) place.field = i;
    if (place.field < 0) {
        place.field = set->fields.count;
        field.shape = shape;
        vec_push(ev->arena, &set->fields, field);
    }
    place.node = field_node(ev, &place, 0, field_name(ev, &place, 0), shape);
    vec_push(ev->arena, &ev->train->fields, place);
    frame_bind(ev, ev->frame, parameter->name, value_node(place.node), parameter->span);
}

static void check_on(Evaluator *ev, const TrainingSet *set) {
    for (int i = 0; i < set->fields.count; i++) {
        const TrainingField *field = &set->fields.items[i];
        bool found = !field->on;
        for (int k = 0; k < set->fields.count; k++)
            found |= set->fields.items[k].name == field->on && set->fields.items[k].form == FORM_IMAGE;
        if (!found)
            report(ev, DIAG_train_field, field->span,
                   "`%s` lies on `%s`, which is not a picture in the same list", field->name, field->on);
    }
}

/* Else the second batch would begin within a class. */
static void check_together(Evaluator *ev, const TrainingSet *set) {
    for (int i = 0; i < set->fields.count; i++) {
        const TrainingField *field = &set->fields.items[i];
        if (field->together < 2 || set->batch % field->together == 0) continue;
        Diagnostic *d = report(ev, DIAG_train_batch, field->span,
                               "`%s` puts %d of a class in a row, and a batch of %lld ends within them",
                               field->name, field->together, (long long)set->batch);
        report_help(ev, d, "take a batch that is a multiple of %d", field->together);
    }
}

/* A `once` list has as many samples as its first axis says. */
static void count_once(TrainingSet *set) {
    if (!set->batch && set->fields.count && set->fields.items[0].once &&
        dim_is_const(set->fields.items[0].shape.dims[0], NULL))
        set->batch = dim_const_value(set->fields.items[0].shape.dims[0]);
}

/* `train t(N = 4)()` has no set; it draws its samples. */
static bool has_no_set(const Decl *decl) { return decl->lists.count == 2 && decl->lists.items[1].count == 0; }

static void require_sizes(Evaluator *ev) {
    const Decl *decl = ev->train->plan->block->decl;
    for (int i = 0; i < decl->where.count; i++) require_condition(ev, decl->where.items[i], NULL, DIAG_where);
}

void train_bind_sets(Evaluator *ev, const Decl *decl) {
    Training *training = ev->train->plan->training;
    for (int i = decl->lists.count > 1; i < decl->lists.count && !has_no_set(decl); i++) {
        const ParameterList *list = &decl->lists.items[i];
        int index = i - (decl->lists.count > 1);
        if (index == training->sets.count)
            vec_push(ev->arena, &training->sets,
                     (TrainingSet){.name = list->count ? list->items[0].name : decl->name});
        bind_symbols(ev, decl, list);
        check_movement(ev, list);
        for (int k = 0; k < list->count; k++) add_field(ev, decl, &list->items[k], index);
        if (!list->count)
            report(ev, DIAG_train_header, decl->name_span, "a set of `%s` has no fields", decl->name);
        check_on(ev, &training->sets.items[index]);
        check_together(ev, &training->sets.items[index]);
        count_once(&training->sets.items[index]);
    }
    require_sizes(ev);
}

bool train_has_each(const TrainPlan *plan) {
    for (int i = 0; i < plan->training->sets.count; i++) {
        const TrainingSet *set = &plan->training->sets.items[i];
        if (set->fields.count > 0 && set->fields.items[0].each) return true;
    }
    return false;
}

/* ---- other batches under the same names ---- */

/* False if the name was bound to something else in the meantime. */
static bool names_field(Evaluator *ev, const FieldPlace *place) {
    const Value *bound = frame_find(ev, ev->frame, place->parameter->name);
    return bound && bound->kind == VALUE_TENSOR && (intptr_t)map_get(ev->train->of_input, bound->node) > 0;
}

void train_rebind_fields(Evaluator *ev, int round) {
    TrainPass *pass = ev->train;
    pass->round = round;
    for (int i = 0; i < pass->fields.count; i++) {
        const FieldPlace *place = &pass->fields.items[i];
        if (input_stays(place->parameter) || !names_field(ev, place)) continue;
        Node *node = field_node(ev, place, round, field_name(ev, place, round), place->shape);
        frame_bind(ev, ev->frame, place->parameter->name, value_node(node), place->parameter->span);
    }
}

static Dim measured_batch(Evaluator *ev, const FieldPlace *place, Dim *batches, bool anew) {
    const TrainingSet *set = &ev->train->plan->training->sets.items[place->set];
    if (batches[place->set]) return batches[place->set];
    Name name = place->batch ? place->batch : intern(ev->names, "N");
    int64_t multiple = anew ? 1 : symbol_multiple(ev, ev->train->plan->block->decl, name);
    Dim batch = batches[place->set] = dim_symbol(ev->dims, name, multiple);
    int64_t typical = set->batch ? set->batch / multiple : 1;
    dims_symbol(ev->dims, dims_symbol_count(ev->dims) - 1)->typical = typical;
    if (place->batch) frame_bind(ev, ev->frame, place->batch, value_dim(batch), place->parameter->span);
    return batch;
}

void train_bind_measured(Evaluator *ev, bool anew) {
    TrainPass *pass = ev->train;
    Dim *batches = NEW_ARRAY(ev->arena, Dim, pass->plan->training->sets.count);
    for (int i = 0; i < pass->fields.count; i++) {
        const FieldPlace *place = &pass->fields.items[i];
        if (input_stays(place->parameter)) continue;
        Dim *dims = arena_copy(ev->arena, place->shape.dims, sizeof *dims * (size_t)place->shape.rank);
        if (!place->whole) dims[0] = measured_batch(ev, place, batches, anew);
        const char *name = arena_printf(ev->arena, "held_out.%s.%d", place->parameter->name, pass->measures);
        Node *node = field_node(ev, place, 0, name, (Shape){place->shape.type, place->shape.rank, dims});
        frame_bind(ev, ev->frame, place->parameter->name, value_node(node), place->parameter->span);
    }
    if (!anew) require_sizes(ev);
}

/* ---- declared anew ---- */

/* The set that this phase or measure uses in place of `of`: looks it up, or adds it with
 * the same fields. */
static int set_anew(Evaluator *ev, int of, bool measured) {
    TrainPass *pass = ev->train;
    TrainPlan *plan = pass->plan;
    Anew key = {pass->phase, measured ? pass->measures - 1 : -1, of, plan->training->sets.count};
    for (int i = 0; i < plan->anew.count; i++) {
        const Anew *known = &plan->anew.items[i];
        if (known->phase == key.phase && known->measure == key.measure && known->of == of) return known->set;
    }
    TrainingSet set = plan->training->sets.items[of];
    set.anew = 1 + (set.anew ? set.anew - 1 : of);
    set.batch = 0;
    const TrainingField *fields = set.fields.items;
    int count = set.fields.count;
    memset(&set.fields, 0, sizeof set.fields);
    for (int i = 0; i < count; i++) vec_push(ev->arena, &set.fields, fields[i]);
    vec_push(ev->arena, &plan->training->sets, set);
    vec_push(ev->arena, &plan->anew, key);
    return key.set;
}

static FieldPlace *place_named(TrainPass *pass, Name name) {
    for (int i = 0; i < pass->fields.count; i++)
        if (pass->fields.items[i].parameter->name == name && !input_stays(pass->fields.items[i].parameter))
            return &pass->fields.items[i];
    return NULL;
}

/* A measure may leave sizes free if it takes samples one by one. */
static bool sizes_fit(Evaluator *ev, const Parameter *parameter, const FieldPlace *place, Shape shape,
                      bool measured) {
    int64_t batch = 0;
    bool known = shape.rank > 0 && dim_is_const(shape.dims[0], &batch), free = false;
    for (int axis = 1; axis < shape.rank; axis++) free |= !dim_is_const(shape.dims[axis], NULL);
    if (shape.rank == place->shape.rank && known && !(free && (!measured || batch != 1))) return true;
    Diagnostic *d = report(ev, DIAG_train_batch, parameter->type->span, "`%s` cannot be %s here",
                           parameter->name, shape_string(ev->arena, shape));
    if (shape.rank != place->shape.rank)
        report_help(ev, d, "it has %d axes where the block declares it", place->shape.rank);
    else if (measured)
        report_help(ev, d,
                    "a `measure` takes samples of any size one by one: `image[1, 3, H, W, fit = \"pad\"]`");
    else report_help(ev, d, "a phase declares a batch and sizes as numbers");
    return false;
}

static bool one_anew(Evaluator *ev, const Parameter *parameter, bool measured) {
    TrainPass *pass = ev->train;
    FieldPlace *place = place_named(pass, parameter->name);
    TrainingField field = {.name = parameter->name, .span = parameter->span};
    DType element;
    Shape shape;
    if (!place || !parameter->type) {
        const char *what = place ? "declared again without a type" : "not an input of this block";
        Diagnostic *d = report(ev, DIAG_train_field, parameter->span, "`%s` is %s", parameter->name, what);
        if (!place) report_help(ev, d, "only inputs of the block can be declared again, with other sizes");
        return false;
    }
    if (!read_type(ev, parameter->type, &element, &field) ||
        !input_sizes(ev, parameter->type, element, &shape))
        return false;
    if (!sizes_fit(ev, parameter, place, shape, measured)) return false;
    int set = set_anew(ev, place->set, measured);
    field.shape = shape;
    pass->plan->training->sets.items[set].fields.items[place->field] = field;
    pass->plan->training->sets.items[set].batch = dim_const_value(shape.dims[0]);
    place->shape = shape;
    place->whole = measured && !shape_element_count(shape, &(int64_t){0});
    return true;
}

/* The other fields of a set whose fields are declared anew use the new batch size,
 * too. */
static void bind_followers(Evaluator *ev, bool measured) {
    TrainPass *pass = ev->train;
    for (int i = 0; i < pass->plan->anew.count; i++) {
        const Anew *anew = &pass->plan->anew.items[i];
        if (anew->phase != pass->phase || anew->measure != (measured ? pass->measures - 1 : -1)) continue;
        TrainingSet *set = &pass->plan->training->sets.items[anew->set];
        for (int k = 0; k < pass->fields.count; k++) {
            FieldPlace *place = &pass->fields.items[k];
            if (place->set != anew->of || input_stays(place->parameter)) continue;
            Dim *dims = arena_copy(ev->arena, place->shape.dims, sizeof *dims * (size_t)place->shape.rank);
            dims[0] = dim_const(ev->dims, set->batch);
            place->shape.dims = dims;
            place->set = anew->set;
            set->fields.items[place->field].shape = place->shape;
            if (place->batch)
                frame_bind(ev, ev->frame, place->batch, value_int(set->batch), place->parameter->span);
        }
    }
}

void train_declare_anew(Evaluator *ev, const ParameterList *inputs, bool measured) {
    if (!inputs->count) return;
    bool good = true;
    bind_symbols(ev, ev->train->plan->block->decl, inputs);
    for (int i = 0; i < inputs->count; i++) good &= one_anew(ev, &inputs->items[i], measured);
    if (!good) return;
    bind_followers(ev, measured);
    if (!measured) train_rebind_fields(ev, 0);
}

bool train_load_set(Evaluator *ev, const Expr *target, Value file) {
    TrainPass *pass = ev->train;
    for (int i = 0; pass && target->kind == EXPR_NAME && i < pass->fields.count; i++) {
        if (pass->fields.items[i].parameter->name != target->name) continue;
        if (file.kind == VALUE_STRING)
            pass->plan->training->sets.items[pass->fields.items[i].set].place = file.string;
        return true;
    }
    return false;
}
