/* Structs of C as constants of an object. */
#include "codegen/image.h"

Image image_begin(Module *m) { return (Image){m, map_new(m->arena), map_new(m->arena)}; }

void image_link(Image *image, const void *field, LLVMValueRef target) {
    map_set(image->links, field, target);
}

LLVMValueRef image_place(Module *m, const char *name, LLVMValueRef value) {
    LLVMValueRef global = LLVMAddGlobal(m->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
    return global;
}

static LLVMValueRef make_struct(Image *image, const StructInfo *info, const char *bytes);

static LLVMValueRef make_text(Module *m, const char *text) {
    LLVMValueRef value = LLVMConstStringInContext(m->context, text, (unsigned)strlen(text), 0);
    return image_place(m, "text", value);
}

static LLVMValueRef make_array(Image *image, const StructInfo *of, const char *bytes, int count) {
    LLVMValueRef *items = NEW_ARRAY(image->m->arena, LLVMValueRef, count);
    for (int i = 0; i < count; i++) items[i] = make_struct(image, of, bytes + (size_t)i * of->bytes);
    return image_place(image->m, of->name, LLVMConstArray2(LLVMTypeOf(items[0]), items, (uint64_t)count));
}

/* What `target` points to: `count` of `of`, or a text where `of` is NULL. */
static LLVMValueRef find_or_make(Image *image, const char *target, const StructInfo *of, int count) {
    if (!target || count == 0) return LLVMConstNull(image->m->pointer);
    LLVMValueRef made = map_get(image->made, target);
    if (made) return made;
    made = of ? make_array(image, of, target, count) : make_text(image->m, target);
    map_set(image->made, target, made);
    return made;
}

static LLVMValueRef find_link(const Image *image, const void *field) {
    LLVMValueRef target = map_get(image->links, field);
    return target ? target : LLVMConstNull(image->m->pointer);
}

static LLVMValueRef make_field(Image *image, const StructField *field, const char *bytes) {
    Module *m = image->m;
    const void *at = bytes + field->offset;
    switch (field->kind) {
    case FIELD_I32: return get_i32(m, *(const int32_t *)at);
    case FIELD_I64: return get_i64(m, *(const int64_t *)at);
    case FIELD_F32: return get_f32(m, *(const float *)at);
    case FIELD_F64: return LLVMConstReal(m->f64, *(const double *)at);
    case FIELD_TEXT: return find_or_make(image, *(const char *const *)at, NULL, 1);
    case FIELD_STRUCT: return make_struct(image, field->of, at);
    case FIELD_ARRAY:
        return find_or_make(image, *(const char *const *)at, field->of,
                            *(const int32_t *)(bytes + field->count));
    case FIELD_LINK: return find_link(image, at);
    }
    INTERNAL_ERROR("no such field");
}

static LLVMValueRef make_struct(Image *image, const StructInfo *info, const char *bytes) {
    Module *m = image->m;
    LLVMTargetDataRef layout = LLVMGetModuleDataLayout(m->module);
    LLVMValueRef *fields = NEW_ARRAY(m->arena, LLVMValueRef, info->field_count);
    for (int i = 0; i < info->field_count; i++) fields[i] = make_field(image, &info->fields[i], bytes);
    LLVMValueRef value = LLVMConstStructInContext(m->context, fields, (unsigned)info->field_count, 0);
    /* no row is missing, and the target lays the struct out as this machine does */
    CHECK(LLVMABISizeOfType(layout, LLVMTypeOf(value)) == info->bytes);
    for (int i = 0; i < info->field_count; i++)
        CHECK(LLVMOffsetOfElement(layout, LLVMTypeOf(value), (unsigned)i) == info->fields[i].offset);
    return value;
}

void image_export(Image *image, const StructInfo *info, const void *value, const char *name) {
    LLVMValueRef constant = image_place(image->m, name, make_struct(image, info, value));
    LLVMSetLinkage(constant, LLVMExternalLinkage);
    LLVMSetUnnamedAddress(constant, LLVMNoUnnamedAddr);
}
