/* The parent of ranks: socket pairs, processes, what they print.
 * Each rank is a program of its own, since a child that is only forked has no threads.
 * Invariant: no rank holds a socket between two others, so the end of one is seen by all. */
#include "tests/support/rank.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    int sockets[RANKS_MOST][RANKS_MOST]; /* [r][q]: of rank r, to rank q */
    int output[RANKS_MOST];
    pid_t process[RANKS_MOST];
} ranks;

static void join(ranks *all, int size) {
    for (int r = 0; r < size; r++) {
        all->sockets[r][r] = -1;
        for (int q = 0; q < r; q++) {
            int pair[2];
            REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
            all->sockets[r][q] = pair[0];
            all->sockets[q][r] = pair[1];
        }
    }
}

/* In the child. COTAN_RANK is a program that runs another one under a tool. */
static void execute(const int sockets[], const char *scenario, int64_t argument, int rank,
                    int size) {
    char words[2 + RANKS_MOST][32];
    const char *tool = getenv("COTAN_RANK");
    const char *arguments[6 + RANKS_MOST] = {tool, RANK_PROGRAM, scenario};
    const char *const *command = tool ? arguments : arguments + 1;
    snprintf(words[0], sizeof *words, "%lld", (long long)argument);
    snprintf(words[1], sizeof *words, "%d", rank);
    for (int q = 0; q < size; q++) {
        if (q != rank) fcntl(sockets[q], F_SETFD, 0);
        snprintf(words[2 + q], sizeof *words, "%d", sockets[q]);
    }
    for (int i = 0; i < 2 + size; i++) arguments[3 + i] = words[i];
    execv(command[0], (char *const *)(uintptr_t)command);
    _exit(127);
}

static void start(ranks *all, const char *scenario, int64_t argument, int size) {
    fflush(stdout);
    for (int r = 0; r < size; r++) {
        int output[2];
        REQUIRE(pipe2(output, O_CLOEXEC) == 0);
        all->process[r] = fork();
        if (all->process[r] == 0) {
            dup2(output[1], STDOUT_FILENO);
            execute(all->sockets[r], scenario, argument, r, size);
        }
        REQUIRE(all->process[r] > 0);
        close(output[1]);
        all->output[r] = output[0];
    }
    for (int r = 0; r < size; r++) {
        for (int q = 0; q < size; q++) {
            if (q != r) close(all->sockets[r][q]);
        }
    }
}

static void read_all(int output, char *text, size_t room) {
    ssize_t n;
    size_t length = 0;
    while (length + 1 < room && (n = read(output, text + length, room - 1 - length)) > 0) {
        length += (size_t)n;
    }
    text[length] = '\0';
    close(output);
}

void ranks_run(const char *scenario, int64_t argument, int size, rank_result results[]) {
    ranks all;
    REQUIRE(size <= RANKS_MOST);
    join(&all, size);
    start(&all, scenario, argument, size);
    for (int r = 0; r < size; r++) {
        REQUIRE(waitpid(all.process[r], &results[r].status, WUNTRACED) == all.process[r]);
        results[r].stopped = WIFSTOPPED(results[r].status);
    }
    for (int r = 0; r < size; r++) {
        if (results[r].stopped) {
            kill(all.process[r], SIGKILL);
            waitpid(all.process[r], &results[r].status, 0);
        }
        read_all(all.output[r], results[r].text, sizeof results[r].text);
    }
}

bool rank_ended_well(const rank_result *result) {
    return WIFEXITED(result->status) && WEXITSTATUS(result->status) == 0;
}
