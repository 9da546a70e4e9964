/* Recognises attention: its product by itself, its heads, and layers of it. */
#include "import/recognise.h"

static bool has_dims(const Match *m, const char *name, const Dim *dims, int rank) {
    const Shape shape = matched_wire(m, name)->shape;
    for (int i = 0; i < rank && shape.rank == rank; i++)
        if (shape.dims[i] != dims[i]) return false;
    return shape.rank == rank;
}

static bool is_ordered(const Match *m, const char *name, const char *order) {
    return has_setting(matched_wire(m, name)->line, NULL, order);
}

/* The keys have their last two axes exchanged for the product. scaled_attention takes
 * them as they were, so the exchange is undone. */
Line *finish_attention(const Match *m, const char *callee) {
    Wire *q = matched_wire(m, "q"), *k = matched_wire(m, "k"), *v = matched_wire(m, "v"),
         *turned = matched_wire(m, "t");
    const int rank = q->shape.rank;
    const double scale =
        matched_number(m, "scale", 1 / matched_number(m, "root", 0)) * matched_number(m, "also", 1);
    int64_t depth;
    int order[16];
    if (rank < 2 || rank > 8 || k->shape.rank != rank || !dim_is_const(q->shape.dims[rank - 1], &depth) ||
        !is_number(m, scale * sqrt((double)depth), 1) || !read_order(turned->line, rank, order))
        return NULL;
    const Line *softmax = matched_wire(m, "s")->line;
    if (softmax->settings.count && !has_setting(softmax, "axis", arena_printf(m->im->arena, "%d", rank - 1)))
        return NULL;
    const int last = order[rank - 1];
    order[rank - 1] = order[rank - 2], order[rank - 2] = last;
    int64_t axes[16];
    bool stays = true;
    for (int i = 0; i < rank; i++) axes[i] = order[i], stays = stays && order[i] == i;
    turned->line->settings.items[0].text = tuple_text(m->im->arena, axes, rank);
    Line *line = line_in_place(m, STYLE_CALL, callee);
    Dim *dims = arena_copy(m->im->arena, turned->shape.dims, sizeof *dims * (size_t)rank);
    dims[rank - 1] = turned->shape.dims[rank - 2], dims[rank - 2] = turned->shape.dims[rank - 1];
    turned->shape.dims = dims;
    add_matched_input(m, line, q);
    add_matched_input(m, line, stays ? k : turned);
    add_matched_input(m, line, v);
    return line;
}

/* The last two axes exchanged by way of three axes: [a, b, c, d], [a * b, c, d], [a * b,
 * d, c], [a, b, d, c]. */
Line *finish_exchanged(const Match *m, const char *callee) {
    const Shape x = matched_wire(m, "x")->shape, flat = matched_wire(m, "f")->shape,
                y = m->root->results.items[0]->shape;
    if (x.rank != 4 || flat.rank != 3 || y.rank != 4 || !is_ordered(m, "p", "(0, 2, 1)") ||
        flat.dims[1] != x.dims[2] || flat.dims[2] != x.dims[3] || y.dims[0] != x.dims[0] ||
        y.dims[1] != x.dims[1] || y.dims[2] != x.dims[3])
        return NULL;
    Line *line = finish_stage(m, callee);
    if (line) add_matched_setting(m, line, NULL, "(0, 1, 3, 2)");
    return line;
}

/* [N, L, C] becomes [N, L, h, C / h], which is permuted to [N, h, L, C / h]. */
Line *finish_split_heads(const Match *m, const char *callee) {
    const Shape x = matched_wire(m, "x")->shape, r = matched_wire(m, "r")->shape;
    int64_t heads;
    if (x.rank != 3 || r.rank != 4 || x.type != DTYPE_F32 || !has_setting(m->root, NULL, "(0, 2, 1, 3)") ||
        r.dims[0] != x.dims[0] || r.dims[1] != x.dims[1] || !dim_is_const(r.dims[2], &heads))
        return NULL;
    Line *line = finish_stage(m, callee);
    if (line) add_matched_setting(m, line, NULL, arena_printf(m->im->arena, "%lld", (long long)heads));
    return line;
}

Line *finish_join_heads(const Match *m, const char *callee) {
    const Shape x = matched_wire(m, "x")->shape, y = m->root->results.items[0]->shape;
    const Line *turn = matched_wire(m, "r")->line;
    if (x.rank != 4 || y.rank != 3 || x.type != DTYPE_F32 || !has_setting(turn, NULL, "(0, 2, 1, 3)") ||
        y.dims[0] != x.dims[0] || y.dims[1] != x.dims[2])
        return NULL;
    return finish_stage(m, callee);
}

/* ---- layers ---- */

/* The layers before and behind the attention, which have a weight and a bias each. */
static Line *attention_layer(const Match *m, const char *callee, int64_t heads, const Line *out,
                             const char *before, const char *behind) {
    const Line *in = matched_wire(m, "in")->line;
    if (in->weights.count != 2 || out->weights.count != 2) return NULL;
    Line *line = finish_stage(m, callee);
    if (!line) return NULL;
    add_matched_setting(m, line, NULL, arena_printf(m->im->arena, "%lld", (long long)heads));
    copy_weights(m, line, in, before);
    copy_weights(m, line, out, behind);
    if (in->hint && out->hint)
        line->hint = arena_printf(m->im->arena, "%s.weight", common_path(m->im->arena, in->hint, out->hint));
    return line;
}

/* The part of queries, keys or values, by its number. */
static bool is_head_part(const Match *m, const char *name, const char *place) {
    const Line *line = matched_wire(m, name)->line;
    return line->inputs.count == 1 && line->settings.count == 1 && has_setting(line, NULL, place);
}

/* PyTorch's MultiheadAttention of a sequence to itself, as PyTorch exports it: [N, L, C]
 * turned to [L, N, C]; a dense layer; its 3 * C numbers apart as [3, L, N, C]; each of
 * the three to [N, heads, L, C / heads], by way of [L, N * heads, C / heads]; and all of
 * it back. */
Line *finish_multihead(const Match *m, const char *callee) {
    const Shape x = matched_wire(m, "x")->shape, q = matched_wire(m, "qr")->shape;
    Dims *dims = m->im->dims;
    int64_t heads;
    if (x.rank != 3 || q.rank != 4 || !dim_is_const(q.dims[1], &heads)) return NULL;
    Dim n = x.dims[0], l = x.dims[1], c = x.dims[2], one = dim_const(dims, 1), three = dim_const(dims, 3),
        h = q.dims[1], d = q.dims[3];
    const char *const through[][4] = {
        {"qi", "qs", "qp", "qr"}, {"ki", "ks", "kp", "kr"}, {"vi", "vs", "vp", "vr"}};
    static const char *const places[] = {"0", "1", "2"};
    bool fits = is_ordered(m, "p", "(1, 0, 2)") && has_dims(m, "ys", (Dim[]){l, n, three, c}, 4) &&
                has_dims(m, "yu", (Dim[]){one, l, n, three, c}, 5) &&
                is_ordered(m, "yp", "(3, 1, 2, 0, 4)") && has_dims(m, "y", (Dim[]){three, l, n, c}, 4) &&
                dim_mul(dims, h, d) == c;
    for (int i = 0; i < 3; i++)
        fits = fits && is_head_part(m, through[i][0], places[i]) &&
               has_dims(m, through[i][1], (Dim[]){l, dim_mul(dims, n, h), d}, 3) &&
               is_ordered(m, through[i][2], "(1, 0, 2)") &&
               has_dims(m, through[i][3], (Dim[]){n, h, l, d}, 4);
    fits = fits && is_ordered(m, "ap", "(2, 0, 1, 3)") &&
           has_dims(m, "f", (Dim[]){dim_mul(dims, l, n), c}, 2) &&
           has_dims(m, "o", (Dim[]){dim_mul(dims, l, n), c}, 2) && has_dims(m, "r", (Dim[]){l, n, c}, 3) &&
           has_setting(m->root, NULL, "(1, 0, 2)");
    return fits ? attention_layer(m, callee, heads, matched_wire(m, "o")->line, "in_proj_", "out_proj.")
                : NULL;
}

/* timm's attention: a dense layer, whose 3 * C numbers are [N, L, 3, heads, C /
 * heads]. */
Line *finish_attention_layer(const Match *m, const char *callee) {
    const Shape x = matched_wire(m, "x")->shape, apart = matched_wire(m, "r")->shape;
    Dims *dims = m->im->dims;
    int64_t heads;
    if (x.rank != 3 || apart.rank != 5 || !dim_is_const(apart.dims[3], &heads)) return NULL;
    Dim n = x.dims[0], l = x.dims[1], c = x.dims[2], d = apart.dims[4];
    const bool fits = has_dims(m, "r", (Dim[]){n, l, dim_const(dims, 3), apart.dims[3], d}, 5) &&
                      dim_mul(dims, apart.dims[3], d) == c && is_ordered(m, "y", "(2, 0, 3, 1, 4)") &&
                      is_head_part(m, "qi", "0") && is_head_part(m, "ki", "1") &&
                      is_head_part(m, "vi", "2") && shape_dims_equal(m->root->results.items[0]->shape, x);
    return fits ? attention_layer(m, callee, heads, m->root, "qkv.", "proj.") : NULL;
}
