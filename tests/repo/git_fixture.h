/* SPDX-License-Identifier: Apache-2.0 */
/* A temporary folder with git repositories made by git itself. Include after cmocka.h. */
#pragma once

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"
#include "repo/repo.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libgit2 1.5 leaks what it compares setting names with in repositories of format 1. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libpcre2-8.so\n";
}

static char *tmp;

PRINTF(1, 2) static inline void sh(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	AUTO_FREE char *script = mem_vprintf(fmt, ap);
	va_end(ap);
	AUTO_FREE char *all = mem_printf("set -e; cd '%s'; %s", tmp, script);
	if (system(all) != 0)
		fail_msg("%s", all);
}

static inline char *output(const char *command)
{
	AUTO_FREE char *all = mem_printf("cd '%s'; %s", tmp, command);
	FILE *f = popen(all, "r");
	assert_non_null(f);
	char line[512] = "";
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	line[strcspn(line, "\n")] = 0;
	return mem_strdup(line);
}

static char *home;

/* One for the whole program: libgit2 looks for it once. */
static inline int make_home(void **state)
{
	(void)state;
	char name[] = "/tmp/cooper-home-XXXXXX";
	if (!mkdtemp(name))
		return -1;
	home = mem_strdup(name);
	setenv("HOME", home, 1);
	unsetenv("XDG_CONFIG_HOME");
	return 0;
}

static inline int drop_home(void **state)
{
	(void)state;
	err_ignore(tree_remove(AT_FDCWD, home), "a test's leavings");
	mem_freep(&home);
	return 0;
}

static inline int make_tmp(void **state)
{
	(void)state;
	char name[] = "/tmp/cooper-repo-XXXXXX";
	if (!mkdtemp(name))
		return -1;
	tmp = mem_strdup(name);
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	setenv("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z", 1);
	setenv("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z", 1);
	sh("git config --global user.name t; git config --global user.email t@example; git config --global "
	   "init.defaultBranch main;"
	   "git config --global advice.detachedHead false; git config --global protocol.file.allow always");
	return 0;
}

static inline int drop_tmp(void **state)
{
	(void)state;
	err_ignore(tree_remove(AT_FDCWD, tmp), "a test's leavings");
	mem_freep(&tmp);
	return 0;
}

static inline struct repo *open_at(const char *dir)
{
	AUTO_FREE char *path = path_join(tmp, dir);
	struct repo *r = NULL;
	AUTO(err_freep) struct err *e = repo_open(path, &r);
	if (e)
		fail_msg("%s", err_message(e));
	return r;
}

static inline void expect(struct err *e, enum err_kind kind, const char *part)
{
	AUTO_FREE char *text = e ? err_text(e) : mem_strdup("");
	AUTO_FREE char *full = mem_printf("%s / %s", text, e && err_hint_text(e) ? err_hint_text(e) : "");
	if (err_kind(e) != kind || !strstr(full, part))
		fail_msg("got %s \"%s\", expected %s", err_kind_name(err_kind(e)), full, part);
	err_free(e);
}
