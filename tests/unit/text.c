/* core/text.c: how far words are from each other, and texts as JSON, which json-c reads
 * back. */
#include "core/core.h"
#include "test.h"
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

TEST(distances) {
    static const struct {
        const char *a, *b;
        int edits;
    } words[] = {
        {"", "", 0},         {"conv", "conv", 0},     {"", "abc", 3},    {"kitten", "sitting", 3},
        {"flaw", "lawn", 2}, {"brigth", "bright", 1}, {"hte", "the", 1}, {"ca", "abc", 3},
        {"a", "b", 1},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        CU_ASSERT_EQUAL(cai_edit_distance(words[i].a, words[i].b, 9), words[i].edits);
        CU_ASSERT_EQUAL(cai_edit_distance(words[i].b, words[i].a, 9), words[i].edits);
        for (int limit = 0; limit < words[i].edits; limit++)
            CU_ASSERT_EQUAL(cai_edit_distance(words[i].a, words[i].b, limit), limit + 1);
    }
    char longest[65];
    memset(longest, 'a', 64);
    longest[64] = 0;
    CU_ASSERT_EQUAL(cai_edit_distance(longest, longest + 1, 2), 3);
    CU_ASSERT_EQUAL(cai_edit_distance(longest + 1, longest + 2, 2), 1);
}

static void check_json(const char *text, const char *expected) {
    char *quoted = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&quoted, &size);
    cai_print_json_string(text, out);
    fclose(out);
    if (expected) CU_ASSERT_STRING_EQUAL(quoted, expected);
    struct json_object *read = json_tokener_parse(quoted);
    CU_ASSERT_STRING_EQUAL(json_object_get_string(read), text);
    json_object_put(read);
    free(quoted);
}

TEST(json) {
    check_json("", "\"\"");
    check_json("a \"b\" c\\d/e", "\"a \\\"b\\\" c\\\\d/e\"");
    check_json("line\nline\ttab\x1f", "\"line\\u000aline\\u0009tab\\u001f\"");
    check_json("gr\xc3\xb6\xc3\x9f"
               "e",
               "\"gr\xc3\xb6\xc3\x9f"
               "e\"");
    char all[128];
    for (int c = 1; c < 128; c++) all[c - 1] = (char)c;
    all[127] = 0;
    check_json(all, NULL);
}
