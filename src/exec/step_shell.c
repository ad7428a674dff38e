/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "exec/step_internal.h"

#include <pthread.h>
#include <unistd.h>

/* There is one terminal. */
static pthread_mutex_t terminal = PTHREAD_MUTEX_INITIALIZER;

static void unlock(pthread_mutex_t **lock)
{
	pthread_mutex_unlock(*lock);
}

void step_shell(struct step *s)
{
	static const char *const shells[][2] = {
		{"/bin/bash", NULL}, {"/bin/sh", NULL}, {"/bin/busybox", "sh"}};
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return;
	pthread_mutex_t *held AUTO(unlock) = &terminal;
	pthread_mutex_lock(held);
	event_info(s->io->events, "the step failed; this is a shell in its file system. Leave it with exit "
				  "or Ctrl-D; the build "
				  "then fails.");
	for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
		const char *const argv[] = {shells[i][0], shells[i][1], NULL};
		struct step_end end = {0};
		struct err *e = step_attempt(s, argv, true, &end);
		if (!e)
			return;
		bool next = err_exit_code(e) == 127;
		AUTO_FREE char *text = err_text(e);
		err_ignore(e, "shown as an event");
		if (next && i + 1 < ARRAY_LEN(shells))
			continue;
		event_info(s->io->events, "no shell: %s", text);
		return;
	}
}
