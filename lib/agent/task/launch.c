/*
 * Starts one process the way the real agent does, which the runtime cannot: in a process group of its own but not as the
 * leader of a session, with the usual limit on open files, and in its directory only after the change of user.
 * The agent compiles this when it starts (launch.ts). It includes nothing: lab hosts have no headers.
 */
#ifdef __APPLE__
enum { NONBLOCK = 4, NOFILE = 8, SETMASK = 3, ALL_LOCALES = 0x3f };
extern int *__error(void);
#define errno (*__error())
#else
enum { NONBLOCK = 0x800, NOFILE = 7, SETMASK = 2, ALL_LOCALES = 0x1fbf };
extern int *__errno_location(void);
#define errno (*__errno_location())
extern long syscall(long number, ...);
enum { CLOSE_RANGE = 436, CLOSE_RANGE_CLOEXEC = 4 };
#endif
enum { NOENT = 2, NOEXEC = 8, ACCES = 13, NOTDIR = 20, INTR = 4, NOHANG = 1 };
enum { DUPFD = 0, SETFD = 2, SETFL = 4, CLOEXEC = 1, RDONLY = 0 };
enum { USUAL_FILES = 1024, FIRST_HIGH = 10, MOST_OPEN = 4096 };
typedef unsigned long size_t;

extern int open(const char *, int, ...), close(int), pipe(int *), fcntl(int, int, ...), dup2(int, int);
extern long read(int, void *, size_t), write(int, const void *, size_t);
extern int fork(void), setpgid(int, int), chdir(const char *), execve(const char *, char **, char **);
extern int waitpid(int, int *, int), setgroups(size_t, const unsigned *), setgid(unsigned), setuid(unsigned);
extern int fchown(int, unsigned, unsigned), getrlimit(int, unsigned long *), setrlimit(int, unsigned long *);
extern int sigfillset(void *), sigemptyset(void *), sigprocmask(int, const void *, void *);
extern void *malloc(size_t), free(void *), *signal(int, void *), _exit(int);
extern size_t strlen(const char *);
extern void *newlocale(int, const char *, void *), freelocale(void *);

/* Texts that stand one after another, each with its NUL, as a list that ends with null; `before` more entries come first. */
static char **list(char *texts, int count, int before) {
  char **all = malloc((before + count + 1) * sizeof(char *));
  for (int i = 0; i < count; i++) {
    all[before + i] = texts;
    texts += strlen(texts) + 1;
  }
  all[before + count] = 0;
  return all;
}

/* A pipe whose ends are out of the way of descriptors 0 to 3, and that no other process inherits. */
static int high_pipe(int *ends) {
  if (pipe(ends) != 0) return errno;
  for (int i = 0; i < 2; i++) {
    int high = fcntl(ends[i], DUPFD, FIRST_HIGH), why = errno;
    close(ends[i]);
    if (high < 0) {
      close(ends[1 - i]);
      return why;
    }
    fcntl(high, SETFD, CLOEXEC);
    ends[i] = high;
  }
  return 0;
}

static void close_pipe(int *ends) {
  close(ends[0]);
  close(ends[1]);
}

/* As execvp: the first candidate that can be run; a file without #! is a script of /bin/sh. `argv` has one entry to spare. */
static int execute(char **candidates, char **argv, char **env) {
  int why = NOENT;
  for (; *candidates; candidates++) {
    execve(*candidates, argv + 1, env);
    if (errno == NOEXEC) {
      argv[0] = "/bin/sh";
      argv[1] = *candidates;
      execve(argv[0], argv, env);
    }
    if (errno == ACCES) why = ACCES;
    else if (errno != NOENT && errno != NOTDIR) return errno;
  }
  return why;
}

/* In the child: all that must be so before it runs. Returns why it cannot. */
static int become(int *fds, unsigned *user, char *directory) {
  unsigned long files[2];
  unsigned char mask[128];
  if (setpgid(0, 0) != 0) return errno;
  for (int i = 1; i <= 64; i++) signal(i, 0);
  sigemptyset(mask);
  sigprocmask(SETMASK, mask, 0);
  for (int i = 0; i < 3; i++)
    if (dup2(fds[i], i) < 0) return errno;
  if (fds[3] == 3) fcntl(3, SETFD, 0);
  else if (fds[3] < 0) close(3);
  else if (dup2(fds[3], 3) < 0) return errno;
#ifndef __APPLE__
  if (syscall(CLOSE_RANGE, 4L, 0xffffffffL, (long)CLOSE_RANGE_CLOEXEC) != 0)
#endif
    for (int i = 4; i < MOST_OPEN; i++) fcntl(i, SETFD, CLOEXEC);
  if (getrlimit(NOFILE, files) == 0 && files[0] > USUAL_FILES) {
    files[0] = USUAL_FILES;
    setrlimit(NOFILE, files);
  }
  if (user && (setgroups(1, user + 1) != 0 || setgid(user[1]) != 0 || setuid(user[0]) != 0)) return errno;
  return chdir(directory) == 0 ? 0 : errno;
}

/* `user` is null, or uid and gid. `started` becomes the pid and the reading ends of its stdout and stderr.
   Returns 0, or why it is not started. */
int launch(char *argv, int argc, char *env, int envc, char *candidates, int candidatec, char *directory,
           unsigned *user, int descriptor, int *started) {
  int out[2], err[2], word[2], none, pid, why;
  unsigned char all[128], before[128];
  if ((none = open("/dev/null", RDONLY)) < 0) return errno;
  if ((why = high_pipe(out)) != 0) goto no_out;
  if ((why = high_pipe(err)) != 0) goto no_err;
  if ((why = high_pipe(word)) != 0) goto no_word;
  /* Whoever the process runs as may open /dev/stdout. */
  if (user) {
    fchown(out[1], user[0], user[1]);
    fchown(err[1], user[0], user[1]);
  }
  char **arguments = list(argv, argc, 1), **environment = list(env, envc, 0), **found = list(candidates, candidatec, 0);
  int fds[4] = {none, out[1], err[1], descriptor};
  /* No handler of the agent's may run in the child. */
  sigfillset(all);
  sigprocmask(SETMASK, all, before);
  pid = fork();
  why = errno;
  if (pid == 0) {
    why = become(fds, user, directory);
    if (why == 0) why = execute(found, arguments, environment);
    write(word[1], &why, sizeof why);
    _exit(127);
  }
  sigprocmask(SETMASK, before, 0);
  free(arguments);
  free(environment);
  free(found);
  close(word[1]);
  if (pid > 0) {
    /* Once it runs, the pipe is closed and nothing comes. */
    long count;
    while ((count = read(word[0], &why, sizeof why)) < 0 && errno == INTR);
    if (count <= 0) why = 0;
    else while (waitpid(pid, 0, 0) < 0 && errno == INTR);
  }
  close(word[0]);
  close(none);
  close(out[1]);
  close(err[1]);
  if (why != 0) {
    close(out[0]);
    close(err[0]);
    return why;
  }
  fcntl(out[0], SETFL, NONBLOCK);
  fcntl(err[0], SETFL, NONBLOCK);
  started[0] = pid;
  started[1] = out[0];
  started[2] = err[0];
  return 0;
no_word:
  close_pipe(err);
no_err:
  close_pipe(out);
no_out:
  close(none);
  return why;
}

/* Whether the process has ended: then `status` is how. One that is not a child any more counts as ended; `status` stays. */
int reap(int pid, int *status) { return waitpid(pid, status, NOHANG) != 0; }

int has_locale(char *name) {
  void *locale = newlocale(ALL_LOCALES, name, 0);
  if (locale) freelocale(locale);
  return locale != 0;
}
