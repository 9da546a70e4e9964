/* Sizes in a block, such as those of a reshape. A block cannot see the sizes of the
 * model, and each run may have others, so they are written as formulas of the sizes of
 * the block's inputs, whose types then name these: [N, 2, C / 2, H, W]. A formula is a
 * product of sizes, of sizes divided by a number that a list of the block has, of
 * parameters, and of a number; it must hold in all runs. */
#include "import/repeat.h"

enum { MAX_AXES = 5, MAX_DIVISORS = 6, MAX_FACTORS = 3, NO_INPUT = -1 };

typedef struct SizeFactor { /* a size of an input, or such a size by a number; or a parameter */
    const char *name;
    const Dim *sizes; /* one for each run */
    int input, divisor;
} SizeFactor;

struct BlockSizes {
    Import *im;
    const RepeatedBody *body;
    const RepeatChoice *choice;
    Outside outside; /* the inputs of the first run */
    const char *names[MAX_INPUTS][MAX_AXES];
    bool used[MAX_INPUTS];
    int divisor_count;
    int64_t divisors[MAX_DIVISORS];
    Vec(SizeFactor) named, factors; /* named: all sizes of inputs, by their names */
};

/* ---- the sizes of inputs, and their names ---- */

static bool sizes_are_equal(const Dim *a, const Dim *b, int count) {
    for (int m = 0; m < count; m++)
        if (a[m] != b[m]) return false;
    return true;
}

static bool sizes_are_one(const Dim *sizes, int count) {
    for (int m = 1; m < count; m++)
        if (sizes[m] != sizes[0]) return false;
    return true;
}

/* The number that all of them are; 0 if they are not. */
static int64_t common_number(const Dim *sizes, int count) {
    int64_t value;
    return sizes_are_one(sizes, count) && dim_is_const(sizes[0], &value) ? value : 0;
}

/* The name of the model's symbol that the size is in all runs; or NULL. */
static const char *common_symbol(const BlockSizes *sizes, const Dim *of_runs) {
    const char *text = dim_string(sizes->im->arena, of_runs[0]);
    for (int i = 0; i < dims_symbol_count(sizes->im->dims); i++)
        if (!strcmp(text, dims_symbol(sizes->im->dims, i)->name))
            return sizes_are_one(of_runs, sizes->choice->count) ? text : NULL;
    return NULL;
}

/* Usual names of sizes by rank. Maps that are as high as wide on axes 1 and 2 have their
 * channels last. */
static const char *const *usual_names(int rank, bool channels_last) {
    static const char *const names[][MAX_AXES] = {
        {"C"}, {"N", "C"}, {"N", "L", "C"}, {"N", "C", "H", "W"}, {"N", "C", "D", "H", "W"}};
    static const char *const last[MAX_AXES] = {"N", "H", "W", "C"};
    return rank == 4 && channels_last ? last : names[rank - 1];
}

static const SizeFactor *size_called(const BlockSizes *sizes, const char *name) {
    for (int i = 0; i < sizes->named.count; i++)
        if (!strcmp(sizes->named.items[i].name, name)) return &sizes->named.items[i];
    return NULL;
}

/* A name that no other size has. */
static const char *free_size_name(const BlockSizes *sizes, const char *base, const Dim *of_runs) {
    const char *name = base;
    const SizeFactor *other;
    for (int i = 2; (other = size_called(sizes, name)); i++) {
        if (sizes_are_equal(other->sizes, of_runs, sizes->choice->count)) return name;
        name = arena_printf(sizes->im->arena, "%s%d", base, i);
    }
    return name;
}

static bool is_name_of_axes(const char *const *names, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (names[i] && !strcmp(names[i], name)) return true;
    return false;
}

/* Names the sizes of one input: a size of the model keeps its name. */
static void name_sizes(BlockSizes *sizes, int input, Dim *const *of_axes, int rank) {
    const char *const *usual =
        usual_names(rank, rank == 4 && sizes_are_equal(of_axes[1], of_axes[2], sizes->choice->count));
    const char **names = sizes->names[input];
    for (int a = 0; a < rank; a++) names[a] = common_symbol(sizes, of_axes[a]);
    for (int a = 0, at = 0; a < rank; a++) {
        if (names[a]) continue;
        while (at < rank && is_name_of_axes(names, rank, usual[at])) at++;
        names[a] = usual[at];
    }
    for (int a = 0; a < rank; a++) {
        const int64_t number = common_number(of_axes[a], sizes->choice->count);
        names[a] = number == 1 ? "1" : free_size_name(sizes, names[a], of_axes[a]);
        const SizeFactor factor = {names[a], of_axes[a], input, 1};
        if (number != 1) vec_push(sizes->im->arena, &sizes->named, factor);
        if (!number) vec_push(sizes->im->arena, &sizes->factors, factor);
    }
}

/* An input that has another type or rank in some run has no type in the text. */
static bool is_alike_in_runs(const BlockSizes *sizes, const Outside *of_runs, int input) {
    const Shape first = of_runs[0].wires[input]->shape;
    for (int m = 1; m < sizes->choice->count; m++) {
        if (of_runs[m].count <= input) return false;
        const Shape other = of_runs[m].wires[input]->shape;
        if (other.rank != first.rank || other.type != first.type) return false;
    }
    return first.rank >= 1 && first.rank <= MAX_AXES;
}

static void add_input_sizes(BlockSizes *sizes, const Outside *of_runs, int input) {
    const int runs = sizes->choice->count, rank = of_runs[0].wires[input]->shape.rank;
    Dim *of_axes[MAX_AXES];
    if (!is_alike_in_runs(sizes, of_runs, input)) return;
    for (int a = 0; a < rank; a++) {
        of_axes[a] = NEW_ARRAY(sizes->im->arena, Dim, runs);
        for (int m = 0; m < runs; m++) of_axes[a][m] = of_runs[m].wires[input]->shape.dims[a];
    }
    name_sizes(sizes, input, of_axes, rank);
}

/* ---- factors ---- */

static bool is_divisor(const BlockSizes *sizes, int64_t value) {
    for (int i = 0; i < sizes->divisor_count; i++)
        if (sizes->divisors[i] == value) return true;
    return false;
}

/* Numbers of more than 1 that a list of the window has in all runs. */
static void find_divisors(BlockSizes *sizes) {
    const RepeatChoice *choice = sizes->choice;
    for (int k = 0; k < choice->length; k++) {
        const Line *line = sizes->body->lines[choice->begins[0] + k];
        const Shape first = line->results.items[0]->shape;
        for (int a = 0; a < first.rank && !strcmp(line->callee, "reshape"); a++) {
            bool equal = true;
            int64_t value;
            for (int m = 1; equal && m < choice->count; m++) {
                const Shape other = sizes->body->lines[choice->begins[m] + k]->results.items[0]->shape;
                equal = other.rank == first.rank && other.dims[a] == first.dims[a];
            }
            if (equal && dim_is_const(first.dims[a], &value) && value > 1 && !is_divisor(sizes, value) &&
                sizes->divisor_count < MAX_DIVISORS)
                sizes->divisors[sizes->divisor_count++] = value;
        }
    }
}

/* NULL where one is no multiple of the other. */
static Dim *divided_sizes(const BlockSizes *sizes, const Dim *of_runs, const Dim *divisors) {
    Dim *out = NEW_ARRAY(sizes->im->arena, Dim, sizes->choice->count);
    for (int m = 0; m < sizes->choice->count; m++)
        if (!(out[m] = dim_div_exact(sizes->im->dims, of_runs[m], divisors[m]))) return NULL;
    return out;
}

static void add_quotients(BlockSizes *sizes) {
    const int whole = sizes->factors.count, runs = sizes->choice->count;
    Dim *divisors = NEW_ARRAY(sizes->im->arena, Dim, runs);
    for (int i = 0; i < whole; i++)
        for (int d = 0; d < sizes->divisor_count; d++) {
            const SizeFactor *from = &sizes->factors.items[i];
            for (int m = 0; m < runs; m++) divisors[m] = dim_const(sizes->im->dims, sizes->divisors[d]);
            Dim *of_runs = divided_sizes(sizes, from->sizes, divisors);
            if (!of_runs) continue;
            const SizeFactor factor = {from->name, of_runs, from->input, (int)sizes->divisors[d]};
            vec_push(sizes->im->arena, &sizes->factors, factor);
        }
}

BlockSizes *block_sizes_new(const RepeatedBody *body, const RepeatChoice *choice) {
    BlockSizes *sizes = NEW(body->im->arena, BlockSizes);
    *sizes = (BlockSizes){.im = body->im, .body = body, .choice = choice};
    Outside *of_runs = NEW_ARRAY(body->im->arena, Outside, choice->count);
    for (int m = 0; m < choice->count; m++)
        of_runs[m] = repeat_inputs(body, choice->begins[m], choice->length);
    sizes->outside = of_runs[0];
    for (int i = 0; i < of_runs[0].count; i++) add_input_sizes(sizes, of_runs, i);
    find_divisors(sizes);
    add_quotients(sizes);
    return sizes;
}

void block_sizes_add_numbers(BlockSizes *sizes, const char *name, const int64_t *of_runs) {
    Dim *dims = NEW_ARRAY(sizes->im->arena, Dim, sizes->choice->count);
    for (int m = 0; m < sizes->choice->count; m++) {
        if (of_runs[m] < 1) return;
        dims[m] = dim_const(sizes->im->dims, of_runs[m]);
    }
    vec_push(sizes->im->arena, &sizes->factors, (SizeFactor){name, dims, NO_INPUT, 1});
}

/* ---- formulas ---- */

typedef struct SizeProduct { /* number * the factors, by their places in the list of all */
    int64_t number;
    int count, places[MAX_FACTORS];
    double cost;
} SizeProduct;

static double cost_of_product(const BlockSizes *sizes, const SizeProduct *product, const bool *seen) {
    double cost = product->number > 1 ? 0.5 + 1e-5 * (double)min_i64(product->number, 10000) : 0;
    for (int i = 0; i < product->count; i++) {
        cost += sizes->factors.items[product->places[i]].divisor > 1 ? 1.75 : 1;
        bool again = seen[product->places[i]];
        for (int k = 0; k < i; k++) again = again || product->places[k] == product->places[i];
        cost += again ? 0.1 : 0; /* of a height and a width that are equal, each is named once */
    }
    return cost;
}

/* Finds the product of least cost that is `rest` in all runs times what is in
 * `product`. */
static void search_products(const BlockSizes *sizes, const Dim *rest, SizeProduct product, const bool *seen,
                            SizeProduct *best) {
    product.number = common_number(rest, sizes->choice->count);
    product.cost = cost_of_product(sizes, &product, seen);
    if (product.number > 0 && product.cost < best->cost) *best = product;
    if (product.count == MAX_FACTORS || product.number == 1) return;
    for (int i = product.count ? product.places[product.count - 1] : 0; i < sizes->factors.count; i++) {
        Dim *less = divided_sizes(sizes, rest, sizes->factors.items[i].sizes);
        if (!less) continue;
        product.places[product.count++] = i;
        search_products(sizes, less, product, seen, best);
        product.count--;
    }
}

static void add_size_product(BlockSizes *sizes, Text *text, const SizeProduct *product) {
    const bool alone = product->count == 1 && product->number == 1;
    if (product->number > 1 || !product->count) text_add(text, "%lld", (long long)product->number);
    for (int i = 0; i < product->count; i++) {
        const SizeFactor *factor = &sizes->factors.items[product->places[i]];
        text_add(text, i || product->number > 1 ? " * " : "");
        if (factor->divisor == 1) text_add(text, "%s", factor->name);
        else text_add(text, alone ? "%s / %d" : "(%s / %d)", factor->name, factor->divisor);
        if (factor->input != NO_INPUT) sizes->used[factor->input] = true;
    }
}

const char *block_sizes_list(BlockSizes *sizes, const Shape *of_runs) {
    Text text = {.arena = sizes->im->arena};
    const int runs = sizes->choice->count;
    SizeProduct *best = NEW_ARRAY(sizes->im->arena, SizeProduct, of_runs[0].rank + 1);
    bool *seen = NEW_ARRAY(sizes->im->arena, bool, sizes->factors.count + 1);
    for (int m = 1; m < runs; m++)
        if (of_runs[m].rank != of_runs[0].rank) return NULL;
    text_add(&text, "[");
    for (int a = 0; a < of_runs[0].rank; a++) {
        Dim *wanted = NEW_ARRAY(sizes->im->arena, Dim, runs);
        for (int m = 0; m < runs; m++) wanted[m] = of_runs[m].dims[a];
        best[a].cost = 1e9;
        search_products(sizes, wanted, (SizeProduct){0}, seen, &best[a]);
        if (best[a].cost == 1e9) return NULL;
        for (int i = 0; i < best[a].count; i++) seen[best[a].places[i]] = true;
    }
    for (int a = 0; a < of_runs[0].rank; a++) {
        text_add(&text, a ? ", " : "");
        add_size_product(sizes, &text, &best[a]);
    }
    text_add(&text, "]");
    return text_string(&text);
}

/* Fewer channels are more likely to be equal by chance. */
enum { FEWEST_CHANNELS_OF_FORMULA = 8 };

const char *block_sizes_channels(BlockSizes *sizes, const int64_t *of_runs) {
    const int runs = sizes->choice->count;
    Dim *wanted = NEW_ARRAY(sizes->im->arena, Dim, runs);
    bool *seen = NEW_ARRAY(sizes->im->arena, bool, sizes->factors.count + 1);
    SizeProduct best = {.cost = 1e9};
    Text text = {.arena = sizes->im->arena};
    for (int m = 0; m < runs; m++) {
        if (of_runs[m] < FEWEST_CHANNELS_OF_FORMULA) return NULL;
        wanted[m] = dim_const(sizes->im->dims, of_runs[m]);
    }
    search_products(sizes, wanted, (SizeProduct){0}, seen, &best);
    if (best.cost == 1e9 || best.count != 1 || sizes->factors.items[best.places[0]].name[0] != 'C')
        return NULL;
    add_size_product(sizes, &text, &best);
    return text_string(&text);
}

const char *block_sizes_type(const BlockSizes *sizes, int input) {
    if (input >= MAX_INPUTS || !sizes->used[input]) return NULL;
    const Shape shape = sizes->outside.wires[input]->shape;
    Text text = {.arena = sizes->im->arena};
    text_add(&text, "%s[", dtype_name(shape.type));
    for (int a = 0; a < shape.rank; a++) text_add(&text, "%s%s", a ? ", " : "", sizes->names[input][a]);
    text_add(&text, "]");
    return text_string(&text);
}
