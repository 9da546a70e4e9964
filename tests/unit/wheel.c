/* What a wheel is named and hashed by. */
#include "driver/driver.h"
#include "object/object.h"
#include "test.h"

/* Of bytes (7 i + count) % 256, by Python's hashlib: around the ends of blocks. */
TEST(sha256) {
    static const struct {
        int count;
        const char *digest;
    } rows[] = {
        {0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {1, "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"},
        {3, "6ab0dba1f4f1dfbb37b4f9eeb092c09fca4900ad32bdcd147d8dde35d6c87c35"},
        {55, "81afe5b788dc2ce138ff83d9b20164db75a94d75d2b2432eea4a0ef605088c72"},
        {56, "2aba54f0ac632420a2b502431408866e40e1d5e430df4cd822642c78ab2eb9c1"},
        {57, "903284efbf9100e8ba1614ec65eacacad125e03f857cae7acbf8b73b23e0fdfe"},
        {63, "733d3d4ee79ee67145bf73da13588f6f235d37414fc64b14a2f00f1762792f5e"},
        {64, "79322907b3e9d013d7dc2c2f256674dbf733045cde01df3539271c6f5605feb8"},
        {65, "d85c007c6eb440f085afa2b84f6f2bce4658b240e9f62cb1364bf0485a57e720"},
        {119, "6c87eedf096b345de205b702e5223b73b447a3207791ded3ea007ba15ed6736e"},
        {120, "42500cf6a1e3936d6b9e0bcfe296d654b63255e525487d3634d0b15fde591c4d"},
        {128, "489d55fea9a73af36b6dd0be7b4117d8e5683386d39544e8a44c99a87f368707"},
        {1000, "6b0df76627243d095b0c4400cb658b7e804dd03461cc03aee8fc8fe0bcada168"},
    };
    for (int row = 0; row < COUNT_OF(rows); row++) {
        unsigned char bytes[1000], digest[SHA256_BYTES];
        char text[2 * SHA256_BYTES + 1];
        for (int i = 0; i < rows[row].count; i++) bytes[i] = (unsigned char)(7 * i + rows[row].count);
        sha256(bytes, (size_t)rows[row].count, digest);
        for (int i = 0; i < SHA256_BYTES; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
        CU_ASSERT_STRING_EQUAL(text, rows[row].digest);
    }
}

TEST(package_versions) {
    static const char *const good[] = {"1",     "1.0",    "2.1.3",     "10.20",  "3.0a1",
                                       "3.0b2", "3.0rc1", "1.0.post2", "1.dev3", "1a1.post2.dev3"};
    static const char *const bad[] = {"",      "v1", "1.",        ".1",        "1.x", "1-2",
                                      "1.0rc", "1 ", "1.dev1rc1", "1.0+local", "1..2"};
    for (int i = 0; i < COUNT_OF(good); i++) CU_ASSERT(is_package_version(good[i]));
    for (int i = 0; i < COUNT_OF(bad); i++) CU_ASSERT_FALSE(is_package_version(bad[i]));
}

TEST(python_names) {
    Arena *arena = arena_new();
    CU_ASSERT_STRING_EQUAL(python_name(arena, "photo"), "photo");
    CU_ASSERT_STRING_EQUAL(python_name(arena, "lambda"), "lambda_");
    CU_ASSERT_STRING_EQUAL(python_name(arena, "seed"), "seed_");
    CU_ASSERT_STRING_EQUAL(python_name(arena, "see"), "see"); /* the beginning of a word */
    CU_ASSERT_STRING_EQUAL(python_name(arena, "alse"), "alse");
    arena_free(arena);
}
