/* The object of a program: joined from those of its kernels and tables. */
#include "object/object.h"
#include "backend_support.h"
#include "files/files.h"
#include <elf.h>
#include <unistd.h>

typedef struct Elf { /* an object in memory */
    cai_file file;
    const Elf64_Ehdr *header;
    const Elf64_Shdr *sections;
    const Elf64_Sym *symbols;
    const char *strings, *section_names;
    int symbol_count, local_count;
} Elf;

static Elf open_elf(const char *path) {
    Elf e = {0};
    cai_error error;
    CU_ASSERT_FATAL(cai_file_read(path, &e.file, &error));
    e.header = (const void *)e.file.data;
    e.sections = (const void *)(e.file.data + e.header->e_shoff);
    e.section_names = (const char *)e.file.data + e.sections[e.header->e_shstrndx].sh_offset;
    for (int i = 0; i < e.header->e_shnum; i++) {
        if (e.sections[i].sh_type != SHT_SYMTAB) continue;
        e.symbols = (const void *)(e.file.data + e.sections[i].sh_offset);
        e.symbol_count = (int)(e.sections[i].sh_size / sizeof *e.symbols);
        e.local_count = (int)e.sections[i].sh_info;
        e.strings = (const char *)e.file.data + e.sections[e.sections[i].sh_link].sh_offset;
    }
    return e;
}

static int count_symbols(const Elf *e, const char *name, bool defined, int binding) {
    int count = 0;
    for (int i = 1; i < e->symbol_count; i++) {
        const Elf64_Sym *s = &e->symbols[i];
        if (name && !strstr(e->strings + s->st_name, name)) continue;
        count += (s->st_shndx != SHN_UNDEF) == defined && ELF64_ST_BIND(s->st_info) == binding;
    }
    return count;
}

/* Convolutions of which two are equal, and a map with constants. */
static TestGraph make_program(void) {
    TestGraph t = test_graph(1);
    IntList one = INTS(1, 1);
    Node *x = new_input(&t, -1, 1, SIZES(size(&t, 1), size(&t, 16), size(&t, 9), size(&t, 9)));
    for (int i = 0; i < 3; i++) {
        int64_t k = i < 2 ? 3 : 1;
        Node *w = new_parameter(&t, -1, 1, SIZES(size(&t, 16), size(&t, 16), size(&t, k), size(&t, k)));
        x = MAKE(&t, convolution, ((Node *[]){x, w}), 2, one, one, INTS(k / 2, k / 2),
                 DIMS(size(&t, 9), size(&t, 9)), 1);
    }
    new_output(&t, x);
    new_output(&t, build_unary(t.graph, OP_erf, new_input(&t, -1, 1, SIZES(size(&t, 100)))));
    return t;
}

TEST(one_object_one_name) {
    TestGraph t = make_program();
    LowerOptions options = WITH_TABLE(.target = target_at(0));
    const char *path = arena_printf(t.arena, "/tmp/cai_join_%ld.o", (long)getpid()), *error = "";
    CU_ASSERT_FATAL(
        backend_object(lower(t.graph, &options, t.arena), &(EmitOptions){.verify = true}, path, &error));
    Elf e = open_elf(path);
    CU_ASSERT(count_symbols(&e, NULL, true, STB_GLOBAL) == 1 &&
              count_symbols(&e, "cai_the_program", true, STB_GLOBAL) == 1);
    CU_ASSERT(count_symbols(&e, NULL, false, STB_GLOBAL) == 1 &&
              count_symbols(&e, "cai_the_weights", false, STB_GLOBAL) == 1);
    CU_ASSERT(count_symbols(&e, "conv_", true, STB_LOCAL) == 2);
    for (int i = 1; i < e.symbol_count; i++)
        CU_ASSERT((ELF64_ST_BIND(e.symbols[i].st_info) == STB_LOCAL) == (i < e.local_count));
    for (int i = 1; i < e.header->e_shnum; i++)
        for (int k = 1; k < i; k++)
            CU_ASSERT(e.sections[i].sh_flags != e.sections[k].sh_flags ||
                      e.sections[i].sh_entsize != e.sections[k].sh_entsize ||
                      strcmp(e.section_names + e.sections[i].sh_name,
                             e.section_names + e.sections[k].sh_name) != 0);
    cai_file_close(&e.file);
    unlink(path);
    arena_free(t.arena);
}

/* More kernels than are held at once, each different. */
TEST(more_kernels_than_are_held_at_once) {
    TestGraph t = test_graph(2);
    for (int i = 0; i < 150; i++) {
        Node *x = new_input(&t, -1, 1, SIZES(size(&t, 3 + i)));
        new_output(&t, binary(&t, OP_add, x, binary(&t, OP_mul, x, splat(&t, i))));
    }
    compare_with_reference(&t, target_at(0)->name, 1e-6, "many kernels");
    arena_free(t.arena);
}

/* With hashes that are all alike kernels are told apart by what they compute, and equal
 * ones are still one. */
TEST(weak_names) {
    for (int i = 0; i < target_count(); i++) {
        if (!can_run(target_at(i)->name)) continue;
        TestGraph t = test_graph((uint64_t)i);
        LowerOptions options = WITH_TABLE(.target = target_at(i), .weak_names = true);
        Node *x = new_input(&t, -1, 1, SIZES(t.N, size(&t, 40))),
             *y = new_input(&t, -1, 1, SIZES(size(&t, 40), size(&t, 24)));
        const double addends[] = {1, 2, 1, 3};
        for (int k = 0; k < 4; k++)
            new_output(&t, binary(&t, OP_add, unary(&t, OP_neg, k == 2 ? unary(&t, OP_abs, x) : x),
                                  splat(&t, addends[k])));
        Node *product = graph_make(t.graph, OP_matmul, (Node *[]){x, y}, 2, NULL);
        new_output(&t, product);
        new_output(&t,
                   graph_make(t.graph, OP_matmul,
                              (Node *[]){product, build_transpose(t.graph, y, (int64_t[]){1, 0})}, 2, NULL));
        compare_with_options(&t, &options, 1e-5, target_at(i)->name);
        arena_free(t.arena);
    }
}

TEST(names_of_one_hash) {
    TestGraph t = test_graph(1);
    LowerOptions options = WITH_TABLE(.target = target_at(0), .weak_names = true);
    Node *x = new_input(&t, -1, 1, SIZES(t.N)), *y = new_input(&t, -1, 1, SIZES(t.N));
    new_output(&t, binary(&t, OP_add, x, splat(&t, 1)));
    new_output(&t, binary(&t, OP_add, x, splat(&t, 2)));
    new_output(&t, binary(&t, OP_add, y, splat(&t, 1)));
    Program *program = lower(t.graph, &options, t.arena);
    CU_ASSERT_EQUAL_FATAL(program->launches.count, 3);
    Kernel *const *kernels = program->launches.items;
    CU_ASSERT_EQUAL(kernels[0]->name, kernels[2]->name);
    CU_ASSERT_STRING_NOT_EQUAL(kernels[0]->name, kernels[1]->name);
    CU_ASSERT_PTR_NOT_NULL(strstr(kernels[1]->name, "_0000000000000000_2"));
    arena_free(t.arena);
}
