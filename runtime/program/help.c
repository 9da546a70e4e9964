/* --help, made from the model's signature and the comment above it. */
#include "program/main.h"
#include <ctype.h>
#include <string.h>

static bool ports_have_pictures(const cai_port *ports, int count) {
    for (int i = 0; i < count; i++) {
        if (ports[i].form == CAI_FORM_IMAGE || ports[i].form == CAI_FORM_BOXES) return true;
    }
    return false;
}

static void print_upper(const char *text, FILE *out) {
    for (; *text; text++) fputc(toupper((unsigned char)*text), out);
}

void cai_print_usage(const cai_program *program, const char *name, FILE *out) {
    fprintf(out, "usage: %s [option]...", name);
    for (int i = 0; i < program->input_count; i++) {
        fputc(' ', out);
        print_upper(program->inputs[i].name, out);
        bool last = i == program->input_count - 1;
        if (last && (i == 0 || cai_takes_any_number(program, i))) fputs("...", out);
    }
    fputc('\n', out);
}

static const char *fit_text(int fit) {
    switch (fit) {
    case CAI_FIT_CROP: return "resized and cropped to fit";
    case CAI_FIT_STRETCH: return "stretched to fit";
    case CAI_FIT_PAD: return "padded to fit, results cropped back";
    case CAI_FIT_LETTERBOX: return "resized to fit within, gray beside it";
    default: return "of exactly this size";
    }
}

static void print_constraints(const cai_program *program, FILE *out) {
    for (int i = 0; i < program->symbol_count; i++) {
        const cai_symbol *symbol = &program->symbols[i];
        if (symbol->multiple > 1)
            fprintf(out, "  %s must be a multiple of %lld\n", symbol->name, (long long)symbol->multiple);
    }
}

static bool all_fixed(const cai_port *port) {
    for (int axis = 2; axis < port->rank; axis++) {
        if (port->dims[axis].symbol != -1 && port->dims[axis].multiple > 0) return false;
    }
    return true;
}

static void print_input(const cai_port *port, FILE *out) {
    fprintf(out, "  %-10s %s\n", port->name, port->type_text);
    if (port->form != CAI_FORM_IMAGE) {
        fprintf(out, "             a %s file\n", cai_format_endings(CAI_HOLDS_NUMBERS).text);
        return;
    }
    bool any_size = !all_fixed(port) && port->fit == CAI_FIT_EXACT;
    fprintf(out, "             %s, a folder of them, or - for standard input%s%s\n",
            cai_picture_formats().text, any_size ? "" : "; ", any_size ? "" : fit_text(port->fit));
}

static void print_output(const cai_program *program, const cai_port *port, FILE *out) {
    fprintf(out, "  %-10s %s\n", port->name, port->type_text);
    if (port->form == CAI_FORM_IMAGE)
        fprintf(out, "             a picture: %s by the name of the file\n",
                cai_format_endings(CAI_HOLDS_PICTURE).text);
    else if (port->form == CAI_FORM_LABELS && port->label_count)
        fprintf(out, "             the best %d of %d labels\n", port->top, port->label_count);
    else if (port->form == CAI_FORM_LABELS)
        fprintf(out, "             the best %d classes, by number\n", port->top);
    else if (port->form == CAI_FORM_BOXES)
        fprintf(out, "             boxes on %s: drawn and listed; or %s by the name of the file\n",
                program->inputs[port->of].name, cai_format_endings(CAI_HOLDS_BOXES | CAI_HOLDS_NUMBERS).text);
    else if (port->form == CAI_FORM_NAMES)
        fprintf(out, "             the names of pictures of %s\n", program->inputs[port->of].name);
    else if (port->form == CAI_FORM_TEXT)
        fprintf(out, "             text, of %d characters\n", port->label_count - 1);
    else
        fprintf(out, "             shown in short, or written by -o as %s\n",
                cai_format_endings(CAI_HOLDS_NUMBERS).text);
}

static void print_options(const cai_program *program, FILE *out) {
    bool pictures = ports_have_pictures(program->outputs, program->output_count);
    fprintf(out, "options\n");
    fprintf(out, "  -o, --output FILE   where the result goes: a file, a folder, or - for standard output\n");
    const char *place = program->input_count ? "beside the input, as NAME." : "here, as ";
    if (pictures)
        fprintf(out, "                      (without it: %s%s%s)\n", place, program->name,
                cai_formats[cai_format_first(CAI_HOLDS_PICTURE)].endings[0]);
    if (program->output_count > 1)
        fprintf(out, "  -o NAME=FILE        the same for one of several outputs; one %s takes all\n",
                cai_format_endings(CAI_HOLDS_TENSORS).text);
    fprintf(
        out,
        "  --threads N         run on N threads (else CAI_NUM_THREADS, OMP_NUM_THREADS, or all cores it may use)\n");
    fprintf(out, "  --seed S            seed of the model's random numbers, if it has any (0)\n");
    fprintf(out, "  --time              run repeatedly, and print times and memory to standard error\n");
    fprintf(
        out,
        "  --profile[=json]    run repeatedly, and print to standard error where the time goes, kernel by kernel\n");
    fprintf(
        out,
        "  --repeat N          how many runs --time and --profile take medians of (as many as two seconds hold)\n");
    fprintf(out, "  --help, --version   print this, or what the program was built for, and end\n");
}

void cai_print_help(const cai_program *program, const char *name, FILE *out) {
    if (program->comment && *program->comment) fprintf(out, "%s\n\n", program->comment);
    cai_print_usage(program, name, out);
    if (program->input_count)
        fprintf(out, "\ninput%s\n", program->input_count > 1 ? "s, in this order or as NAME=FILE" : "");
    for (int i = 0; i < program->input_count; i++) print_input(&program->inputs[i], out);
    print_constraints(program, out);
    fprintf(out, "\noutput%s\n", program->output_count > 1 ? "s" : "");
    for (int i = 0; i < program->output_count; i++) print_output(program, &program->outputs[i], out);
    fputc('\n', out);
    print_options(program, out);
}
