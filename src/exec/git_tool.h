/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The git program: never asks on the terminal, runs no hooks of repositories, speaks only https, http, ssh,
 * git and file; a server over HTTP that is silent for five minutes is given up. Threads: any. Errors: the
 * command and what git said.
 */
#pragma once

#include "base/buf.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

struct git_call {
	const char *git_dir;     /* NULL: none */
	const char *work_tree;   /* NULL: none */
	const char *index;       /* file to use as index, NULL: the repository's */
	const char *ca_file;     /* PEM bundle for https, NULL: git's own */
	const char *config;      /* one more "key=value", NULL: none */
	const char *auth_url;    /* only requests to URLs that begin so are sent auth_header; NULL: none */
	const char *auth_header; /* "Authorization: ..."; no other process gets to see it */
	const char *const *args; /* after "git", NULL-terminated */
	const struct cancel *cancel;
};
MUST_USE struct err *git_run(const struct git_call *c, struct buf *out);

/* "https://host:1/" of a URL that is asked over HTTP, else NULL. Caller frees. */
char *git_http_origin(const char *url);

/* Id of the tree of a commit's subdirectory (NULL: its root). ERR_NOT_FOUND when there is no such commit or
 * directory. Caller frees. */
MUST_USE struct err *git_tree_id(
	const char *git_dir, const char *commit, const char *subdir, const struct cancel *cancel, char **out);
/* A file of a commit, links (inside the tree) followed. */
MUST_USE struct err *git_read_file(
	const char *git_dir, const char *commit, const char *path, size_t max, struct buf *out, bool *found);

/* Paths of submodules in a tree, appended. */
MUST_USE struct err *git_submodules(
	const char *git_dir, const char *tree, const struct cancel *cancel, struct strvec *paths);

/* Write the files of a tree below dir, as a checkout would; modes 0644 and 0755, all times mtime. */
struct git_export {
	const char *git_dir;
	const char *tree;    /* id */
	const char *scratch; /* existing directory for the temporary index */
	const char *dir;     /* absolute, exists */
	int64_t mtime;       /* ns */
	const struct cancel *cancel;
};
MUST_USE struct err *git_export(const struct git_export *x);
/* Modes and times of everything below fd as git_export leaves them. */
MUST_USE struct err *git_normalize(int fd, int64_t mtime);
