/* The manual page and the completions of shells, made from what --help prints. */
#include "commands/commands.h"

/* ---- man: groff's man macros ---- */

static void print_roff(FILE *out, const char *text) {
    for (bool line_begins = true; *text; text++) {
        if (line_begins && (*text == '.' || *text == '\'')) fputs("\\&", out);
        if (*text == '\\') fputs("\\e", out);
        else if (*text == '-') fputs("\\-", out);
        else putc(*text, out);
        line_begins = *text == '\n';
    }
}

static void print_option(const char *name, const char *value, const char *help, void *context) {
    FILE *out = context;
    fputs(".TP\n\\fB", out);
    print_roff(out, name);
    fputs("\\fR", out);
    if (value) fputs(" \\fI", out), print_roff(out, value), fputs("\\fR", out);
    putc('\n', out);
    print_roff(out, help);
    putc('\n', out);
}

static void print_command(FILE *out, const Command *command) {
    fprintf(out, ".SS cai %s ", command->name);
    print_roff(out, command->arguments);
    fputs("\n", out);
    print_roff(out, command->more);
    options_each(command->name, print_option, out);
}

void manual_print(FILE *out, const Command *commands, int count) {
    fputs(".TH CAI 1 \"\" \"cai " CAI_VERSION
          "\"\n.SH NAME\ncai \\- builds neural networks on images into native programs\n.SH SYNOPSIS\n",
          out);
    for (int i = 0; i < count; i++) {
        fprintf(out, ".B cai %s\n.I ", commands[i].name);
        print_roff(out, commands[i].arguments);
        fputs(i + 1 < count ? "\n.br\n" : "\n", out);
    }
    fputs(".SH COMMANDS\n", out);
    for (int i = 0; i < count; i++) print_command(out, &commands[i]);
    fputs(
        ".SH ENVIRONMENT\n.TP\nCAI_HOME\nwhere stdlib and runtime lie, if not beside the executable or in its ../lib/cai\n"
        ".TP\nCAI_CACHE\nwhere compiled kernels are kept (default: ~/.cache/cai/kernels); off: nowhere\n"
        ".TP\nNO_COLOR\nif set, messages are not coloured\n"
        ".SH EXIT STATUS\n0: all is well; 1: errors, which were told, or a check that failed; 2: wrong usage; 70: an error of cai itself\n",
        out);
}

/* ---- shells ---- */

static void print_word(const char *name, const char *value, const char *help, void *context) {
    (void)value, (void)help;
    fprintf(context, "%s ", name);
}

static void print_bash(FILE *out, const Command *commands, int count) {
    fputs(
        "# bash: cai --completion bash > ~/.local/share/bash-completion/completions/cai\n_cai() {\n  local word=${COMP_WORDS[COMP_CWORD]} options=\n"
        "  if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W '",
        out);
    for (int i = 0; i < count; i++) fprintf(out, "%s ", commands[i].name);
    fputs("--help --version' -- \"$word\")); return; fi\n  case ${COMP_WORDS[1]} in\n", out);
    for (int i = 0; i < count; i++) {
        fprintf(out, "  %s) options='", commands[i].name);
        options_each(commands[i].name, print_word, out);
        fputs("' ;;\n", out);
    }
    fputs("  esac\n  case $word in\n  -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
          "  *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n  esac\n}\ncomplete -o filenames -F _cai cai\n",
          out);
}

static void print_quoted(FILE *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\'') fputs("'\\''", out);
        else if (strchr("[]:", *text)) fprintf(out, "\\%c", *text);
        else putc(*text, out);
    }
}

static void print_zsh_option(const char *name, const char *value, const char *help, void *context) {
    FILE *out = context;
    fprintf(out, " '*%s[", name);
    print_quoted(out, help);
    fputs("]", out);
    if (value) fputs(":", out), print_quoted(out, value), fputs(":_files", out);
    fputs("'", out);
}

static void print_zsh(FILE *out, const Command *commands, int count) {
    fputs(
        "#compdef cai\n# zsh: cai --completion zsh > a folder of $fpath, as _cai\n_cai() {\n  local -a commands=(",
        out);
    for (int i = 0; i < count; i++) {
        fprintf(out, " '%s:", commands[i].name);
        print_quoted(out, commands[i].what);
        fputs("'", out);
    }
    fputs(
        ")\n  if (( CURRENT == 2 )); then _describe command commands; return; fi\n  shift words; (( CURRENT-- ))\n  case $words[1] in\n",
        out);
    for (int i = 0; i < count; i++) {
        fprintf(out, "  %s) _arguments", commands[i].name);
        options_each(commands[i].name, print_zsh_option, out);
        fputs(" '*:file:_files' ;;\n", out);
    }
    fputs("  esac\n}\n_cai \"$@\"\n", out);
}

bool completion_print(FILE *out, const char *shell, const Command *commands, int count) {
    if (strcmp(shell, "bash") == 0) print_bash(out, commands, count);
    else if (strcmp(shell, "zsh") == 0) print_zsh(out, commands, count);
    else return false;
    return true;
}
