/* Signals ask a run to stop: it finishes its step, writes a checkpoint, and prints how to
 * resume. A second signal goes to the previous handler, which ends the process, so that
 * nobody has to wait for a step. */
#include "train/train.h"
#include <signal.h>

static const int stopping[] = {SIGINT, SIGTERM, SIGHUP};
enum { STOPPING = sizeof stopping / sizeof *stopping };
static struct sigaction before[STOPPING];
static volatile sig_atomic_t asked;

static void ask_to_stop(int number) {
    asked = 1;
    for (int i = 0; i < STOPPING; i++)
        if (stopping[i] == number) sigaction(number, &before[i], NULL);
}

void cai_stop_on_signals(void) {
    struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = SA_RESTART};
    asked = 0;
    for (int i = 0; i < STOPPING; i++) {
        sigaction(stopping[i], NULL, &before[i]);
        /* under nohup, SIGHUP stays ignored */
        if (before[i].sa_handler != SIG_IGN) sigaction(stopping[i], &action, NULL);
    }
}

bool cai_stop_is_asked(void) { return asked; }
