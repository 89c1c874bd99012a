/* Holds a pod's namespaces open: waits, and reaps what is left to it as process 1. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int signal_) { (void)signal_; _exit(0); }
static void reap(int signal_) { (void)signal_; while (waitpid(-1, NULL, WNOHANG) > 0) { } }

int main(void) {
  struct sigaction ending = {.sa_handler = leave}, child = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
  if (sigaction(SIGINT, &ending, NULL) || sigaction(SIGTERM, &ending, NULL) || sigaction(SIGCHLD, &child, NULL)) return EXIT_FAILURE;
  for (;;) pause();
}
