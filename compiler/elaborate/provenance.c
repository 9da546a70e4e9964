/* Finds where two sizes diverged. Every tensor that a call in the user's text made
 * records that call and its inputs. A shape error walks back from both tensors to the
 * value that they share, and names the step that lost or changed something on the way. */
#include "elaborate/evaluator.h"

enum { LONGEST_TRAIL = 4000 };

static void remember_made(Evaluator *ev, Value v, Made *made) {
    if (v.kind == VALUE_TENSOR && !map_get(ev->made, v.node)) map_set(ev->made, v.node, made);
    for (int i = 0; value_is_sequence(v) && i < v.list->count; i++) remember_made(ev, v.list->items[i], made);
}

static int collect_tensors(Value v, Node **out, int count, int room) {
    if (v.kind == VALUE_TENSOR && count < room) out[count++] = v.node;
    for (int i = 0; value_is_sequence(v) && i < v.list->count; i++)
        count = collect_tensors(v.list->items[i], out, count, room);
    return count;
}

void provenance_remember(Evaluator *ev, Value result, Span span, const Bindings *inputs) {
    if (!span.source || span.source->library || (result.kind != VALUE_TENSOR && !value_is_sequence(result)))
        return;
    Node *nodes[16];
    int count = 0;
    for (int i = 0; i < inputs->count; i++)
        count = collect_tensors(inputs->items[i].value, nodes, count, COUNT_OF(nodes));
    Made *made = NEW(ev->arena, Made);
    *made = (Made){span, count, arena_copy(ev->arena, nodes, sizeof *nodes * (size_t)count)};
    remember_made(ev, result, made);
}

/* ---- walking back ---- */

typedef struct Step { /* from a node to an input, in the order of the walk */
    Node *node;
    int from; /* the step that led here, or -1 */
} Step;
typedef Vec(Step) Provenance;

static void enter_trail(Evaluator *ev, Provenance *provenance, Map *seen, Node *node, int from) {
    if (map_get(seen, node) || provenance->count >= LONGEST_TRAIL) return;
    vec_push(ev->arena, provenance, (Step){node, from});
    map_set(seen, node, (void *)(intptr_t)provenance->count); /* index + 1 */
}

/* Everything from which `node` was made, nearest first; through inputs of the same rank
 * only, since the axis must keep its meaning. */
static void walk_back(Evaluator *ev, Provenance *provenance, Map *seen, Node *node) {
    enter_trail(ev, provenance, seen, node, -1);
    for (int i = 0; i < provenance->count; i++) {
        Node *at = provenance->items[i].node;
        const Made *made = map_get(ev->made, at);
        int count = made ? made->input_count : at->input_count;
        Node *const *inputs = made ? made->inputs : at->inputs;
        for (int k = 0; k < count; k++)
            if (inputs[k]->shape.rank == node->shape.rank) enter_trail(ev, provenance, seen, inputs[k], i);
    }
}

/* The nearest value on both walks; -1 where there is none. */
static int meeting_step(const Provenance *provenance, const Map *other) {
    for (int i = 0; i < provenance->count; i++)
        if (map_get(other, provenance->items[i].node)) return i;
    return -1;
}

typedef struct Change { /* the step that changed the size of the axis in the most telling way */
    Node *before, *after;
    bool lost; /* not a multiple: rows were dropped */
} Change;

static bool loses_size(Evaluator *ev, Dim before, Dim after) {
    int64_t b, a;
    if (dim_is_const(before, &b) && dim_is_const(after, &a))
        return a > 0 && b > a && b % a != 0 && b - (b / a) * a < b / a;
    return !dim_div_exact(ev->dims, before, after) && !dim_div_exact(ev->dims, after, before);
}

static Change find_change(Evaluator *ev, const Provenance *provenance, int at, int axis) {
    Change found = {0};
    for (; at >= 0 && provenance->items[at].from >= 0; at = provenance->items[at].from) {
        Node *before = provenance->items[at].node,
             *after = provenance->items[provenance->items[at].from].node;
        Dim b = before->shape.dims[axis], a = after->shape.dims[axis];
        if (a == b) continue;
        bool lost = loses_size(ev, b, a);
        if (!found.after || (lost && !found.lost)) found = (Change){before, after, lost};
    }
    return found;
}

static const char *axis_name(int axis, int rank) {
    static const char *const names[] = {"batch", "channels", "height", "width"};
    return rank == 4 && axis < 4 ? names[axis] : NULL;
}

/* "one row", "3 columns"; "" where no loss is known. */
static const char *loss_text(Evaluator *ev, Change change, int axis) {
    static const char *const words[] = {"no", "one", "two", "three"};
    int64_t before, after;
    if (!dim_is_const(change.before->shape.dims[axis], &before) ||
        !dim_is_const(change.after->shape.dims[axis], &after))
        return "";
    if (!loses_size(ev, change.before->shape.dims[axis], change.after->shape.dims[axis])) return "";
    int64_t lost = before % after;
    const char *what = axis == 2 ? "row" : axis == 3 ? "column" : "element", *plural = lost == 1 ? "" : "s";
    if (lost < COUNT_OF(words)) return arena_printf(ev->arena, "%s %s%s", words[lost], what, plural);
    return arena_printf(ev->arena, "%lld %s%s", (long long)lost, what, plural);
}

/* Reports what a picture lost in height and in width together. */
static const char *losses_text(Evaluator *ev, Change change, int axis) {
    if (change.after->shape.rank != 4 || axis < 2) return loss_text(ev, change, axis);
    const char *rows = loss_text(ev, change, 2), *columns = loss_text(ev, change, 3);
    return *rows && *columns ? arena_printf(ev->arena, "%s and %s", rows, columns) : *rows ? rows : columns;
}

static void report_change(Evaluator *ev, Diagnostic *d, Change change, int axis, const char *name) {
    const Made *made = map_get(ev->made, change.after);
    Span span = made ? made->span : change.after->origin->span;
    const char *axis_text = axis_name(axis, change.after->shape.rank), *subject = name ? name : "one of them";
    const char *before = dim_string(ev->arena, change.before->shape.dims[axis]);
    const char *after = dim_string(ev->arena, change.after->shape.dims[axis]);
    const char *lost = change.lost ? losses_text(ev, change, axis) : "";
    if (*lost)
        report_note(ev, d, span, "%s lost %s at `%s`, which took %s to %s", subject, lost,
                    span_text(ev->arena, span), before, after);
    else
        report_note(ev, d, span, "%s changed at `%s`, which took %s%s%s to %s", subject,
                    span_text(ev->arena, span), axis_text ? axis_text : "", axis_text ? " " : "", before,
                    after);
}

bool provenance_explain(Evaluator *ev, Diagnostic *d, Node *a, int axis_a, const char *name_a, Node *b,
                        int axis_b, const char *name_b) {
    if (!d || axis_a != axis_b || axis_a < 0 || a->shape.rank != b->shape.rank) return false;
    Provenance trail_a = {0}, trail_b = {0};
    Map *seen_a = map_new(ev->arena), *seen_b = map_new(ev->arena);
    walk_back(ev, &trail_a, seen_a, a);
    walk_back(ev, &trail_b, seen_b, b);
    int at_a = meeting_step(&trail_a, seen_b);
    if (at_a < 0) return false;
    int at_b = (int)(intptr_t)map_get(seen_b, trail_a.items[at_a].node) - 1;
    Change change_a = find_change(ev, &trail_a, at_a, axis_a),
           change_b = find_change(ev, &trail_b, at_b, axis_b);
    if (change_a.after && (change_a.lost || !change_b.lost)) report_change(ev, d, change_a, axis_a, name_a);
    if (change_b.after && (change_b.lost || !change_a.lost)) report_change(ev, d, change_b, axis_b, name_b);
    return change_a.lost || change_b.lost;
}
