/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a temporary folder. Include after cmocka.h. */
#pragma once

#include "base/mem.h"
#include "store/store.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static char *home;
static struct store *store;

static inline int open_home(void **state)
{
	(void)state;
	char name[] = "/tmp/cooper-server-XXXXXX";
	if (!mkdtemp(name))
		return -1;
	home = mem_strdup(name);
	struct err *e = store_open(home, NULL, &store);
	err_free(e);
	return e ? -1 : 0;
}

static inline int close_home(void **state)
{
	(void)state;
	store_closep(&store);
	err_ignore(tree_remove(AT_FDCWD, home), "a test's leavings");
	mem_freep(&home);
	return 0;
}

static inline void good(struct err *e)
{
	AUTO_FREE char *text = e ? err_text(e) : NULL;
	if (e)
		fail_msg("%s", text);
}

static inline void bad(struct err *e, enum err_kind kind, const char *part)
{
	AUTO_FREE char *text = e ? err_text(e) : mem_strdup("");
	AUTO_FREE char *full = mem_printf("%s / %s", text, e && err_hint_text(e) ? err_hint_text(e) : "");
	if (err_kind(e) != kind || !strstr(full, part))
		fail_msg("got %s \"%s\", expected %s", err_kind_name(err_kind(e)), full, part);
	err_free(e);
}
