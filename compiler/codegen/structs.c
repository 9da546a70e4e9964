/* The rows of structs.h: T is the struct whose fields stand there, in the order of its
 * declaration. */
#include "codegen/structs.h"
#include "base/base.h"
#include "core/training.h"

#define ROW(field, ...) \
    { .offset = offsetof(T, field), .kind = __VA_ARGS__ }
/* A number or a text, as its type in C says. */
#define VALUE(field) \
    ROW(field,                       \
        _Generic(((T *)0)->field,    \
            int32_t: FIELD_I32,      \
            uint32_t: FIELD_I32,     \
            int64_t: FIELD_I64,      \
            uint64_t: FIELD_I64,     \
            float: FIELD_F32,        \
            double: FIELD_F64,       \
            const char *: FIELD_TEXT))
#define STRUCT(field, element) ROW(field, FIELD_STRUCT, .of = &struct_##element)
#define ARRAY(field, element, number) \
    ROW(field, FIELD_ARRAY, .of = &struct_##element, .count = offsetof(T, number))
#define LINK(field) ROW(field, FIELD_LINK)

#define INFO(type, rows) \
    { #type, sizeof(type), rows, COUNT_OF(rows) }
#define DESCRIBE(type, ...)                                      \
    static const StructField fields_of_##type[] = {__VA_ARGS__}; \
    const StructInfo struct_##type = INFO(type, fields_of_##type)

/* Elements of arrays that are no structs. */
static const StructField only_i32[] = {{.kind = FIELD_I32}}, only_i64[] = {{.kind = FIELD_I64}},
                         only_text[] = {{.kind = FIELD_TEXT}};
static const StructInfo struct_i32 = INFO(int32_t, only_i32), struct_i64 = INFO(int64_t, only_i64),
                        struct_text = INFO(const char *, only_text);

/* ---- core/program.h ---- */

#define T cai_dim
DESCRIBE(cai_dim, VALUE(multiple), VALUE(symbol), VALUE(size));
#undef T
#define T cai_port
DESCRIBE(cai_port, VALUE(name), VALUE(type_text), ARRAY(dims, cai_dim, rank),
         ARRAY(labels, text, label_count), VALUE(type), VALUE(rank), VALUE(form), VALUE(fit), VALUE(top),
         VALUE(label_count), VALUE(of), VALUE(score), VALUE(shares));
#undef T
#define T cai_symbol
DESCRIBE(cai_symbol, VALUE(name), VALUE(multiple));
#undef T
#define T cai_argument
DESCRIBE(cai_argument, VALUE(space), VALUE(offset), VALUE(index));
#undef T
#define T cai_buffer
DESCRIBE(cai_buffer, VALUE(begin), VALUE(bytes), VALUE(first), VALUE(last));
#undef T
#define T cai_launch
DESCRIBE(cai_launch, LINK(kernel), VALUE(name), VALUE(kind), VALUE(path), VALUE(source),
         ARRAY(arguments, cai_argument, argument_count), VALUE(argument_count), VALUE(tasks), VALUE(flops),
         VALUE(bytes), VALUE(rounds), VALUE(more), VALUE(fused), VALUE(guards));
#undef T
#define T cai_check
DESCRIBE(cai_check, VALUE(message));
#undef T
#define T cai_program
DESCRIBE(cai_program, VALUE(abi), VALUE(cpu), VALUE(name), VALUE(comment), VALUE(target),
         ARRAY(inputs, cai_port, input_count), ARRAY(outputs, cai_port, output_count),
         ARRAY(symbols, cai_symbol, symbol_count), ARRAY(launches, cai_launch, launch_count),
         ARRAY(buffers, cai_buffer, buffer_count), ARRAY(checks, cai_check, check_count), LINK(prepare),
         LINK(weights), VALUE(weights_bytes), VALUE(input_count), VALUE(output_count), VALUE(symbol_count),
         VALUE(launch_count), VALUE(buffer_count), VALUE(check_count), VALUE(size_count), VALUE(arena),
         VALUE(scratch));
#undef T

/* ---- core/training.h ---- */

#define T cai_state
DESCRIBE(cai_state, VALUE(path), ARRAY(dims, i64, rank), VALUE(type), VALUE(rank), VALUE(kind), VALUE(start),
         VALUE(number), VALUE(stream), VALUE(load));
#undef T
#define T cai_field
DESCRIBE(cai_field, VALUE(name), VALUE(text), ARRAY(dims, i64, rank), VALUE(type), VALUE(rank), VALUE(form),
         VALUE(fit), VALUE(scale[0]), VALUE(scale[1]), VALUE(names), VALUE(classes),
         ARRAY(ignored, i64, ignored_count), VALUE(ignored_count), VALUE(on), VALUE(together),
         VALUE(balanced), VALUE(index), VALUE(once), VALUE(each));
#undef T
#define T cai_set
DESCRIBE(cai_set, VALUE(name), VALUE(place), ARRAY(fields, cai_field, field_count), VALUE(field_count),
         VALUE(batch), VALUE(anew));
#undef T
#define T cai_binding
DESCRIBE(cai_binding, VALUE(kind), VALUE(index), VALUE(field), VALUE(round), VALUE(guard), VALUE(sets));
#undef T
#define T cai_entry
DESCRIBE(cai_entry, LINK(program), ARRAY(inputs, cai_binding, input_count),
         ARRAY(outputs, cai_binding, output_count), VALUE(input_count), VALUE(output_count));
#undef T
#define T cai_interval
DESCRIBE(cai_interval, VALUE(count), VALUE(unit), VALUE(last));
#undef T
#define T cai_shown
DESCRIBE(cai_shown, VALUE(name), VALUE(form), VALUE(row), VALUE(is_loss), VALUE(guard));
#undef T
#define T cai_measure
DESCRIBE(cai_measure, STRUCT(when, cai_interval), STRUCT(batch, cai_entry), STRUCT(last, cai_entry),
         ARRAY(shown, cai_shown, shown_count), VALUE(shown_count), VALUE(total_count), VALUE(collected_count),
         VALUE(sets), VALUE(save), VALUE(save_by));
#undef T
#define T cai_phase
DESCRIBE(cai_phase, VALUE(name), STRUCT(length, cai_interval), STRUCT(once, cai_entry),
         STRUCT(kept, cai_entry), STRUCT(step, cai_entry), ARRAY(guards, cai_interval, guard_count),
         ARRAY(shown, cai_shown, shown_count), ARRAY(measures, cai_measure, measure_count),
         ARRAY(rounds, i32, round_count), VALUE(guard_count), VALUE(shown_count), VALUE(measure_count),
         VALUE(round_count), VALUE(paced_by));
#undef T
#define T cai_training
DESCRIBE(cai_training, VALUE(abi), VALUE(cpu), VALUE(name), VALUE(comment), VALUE(target), VALUE(text),
         VALUE(settings), VALUE(identity), ARRAY(states, cai_state, state_count),
         ARRAY(sets, cai_set, set_count), ARRAY(phases, cai_phase, phase_count), VALUE(state_count),
         VALUE(set_count), VALUE(phase_count), VALUE(parts));
#undef T
