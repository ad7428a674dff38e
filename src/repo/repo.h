/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GitOps repository: its git facts, cooper.yaml, containers and their versions. Reads commits through
 * libgit2 (opened when first used). Threads: a repo belongs to one thread.
 */
#pragma once

#include "base/buf.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/event.h"
#include "base/vec.h"

#include <stdbool.h>
#include <stdint.h>

struct repo;

/* The repository that contains dir (found upwards). ERR_NOT_FOUND with a hint when there is none. */
MUST_USE struct err *repo_open(const char *dir, struct repo **out);
void repo_free(struct repo *r);
void repo_freep(struct repo **r);
const char *repo_root(const struct repo *r);    /* absolute work tree; borrowed */
const char *repo_git_dir(const struct repo *r); /* absolute; borrowed */

struct commit {
	char id[41];
	char short_id[8]; /* the first 7 characters */
	int64_t time;     /* committer time, ns */
	char *subject;
};
void commit_fini(struct commit *c);
/* Any revision git understands ("HEAD", a branch, a tag, 7+ hex). ERR_NOT_FOUND names ref; ambiguity is
 * ERR_INVALID listing the candidates. */
MUST_USE struct err *repo_resolve(struct repo *r, const char *ref, struct commit *out);
/* The best common ancestor of two commits; *found false if they have none here. */
MUST_USE struct err *repo_merge_base(
	struct repo *r, const struct commit *a, const struct commit *b, struct commit *out, bool *found);
/* The first parent; *found false for a commit that has none. */
MUST_USE struct err *repo_parent(struct repo *r, const struct commit *c, struct commit *out, bool *found);
/* The work tree as a commit on top of HEAD that is on no branch: what committing all of it now would give.
 * HEAD itself when nothing differs. Files that git ignores are not in it. */
MUST_USE struct err *repo_commit_of_work_tree(struct repo *r, struct commit *out);
/* The id of what path is at a commit (a tree or a blob): equal ids, equal files. "" when absent. */
MUST_USE struct err *repo_object_at(struct repo *r, const struct commit *c, const char *path, char id[41]);
/* Was the clone cut off (git clone --depth), so that history is missing? */
bool repo_shallow(const struct repo *r);
/* Has the work tree changes below path ("" all; untracked files count, ignored ones do not)? The first few
 * paths are appended to changed. */
MUST_USE struct err *repo_dirty(struct repo *r, const char *path, bool *dirty, struct strvec *changed);
/* Is the commit reachable from any remote-tracking branch? Without any remote: *has_remote false and *pushed
 * true. */
MUST_USE struct err *repo_is_pushed(struct repo *r, const struct commit *c, bool *pushed, bool *has_remote);
/* Paths below dir that git keeps out of the work tree (git sparse-checkout), sorted. */
MUST_USE struct err *repo_kept_out(struct repo *r, const char *dir, struct strvec *out);
/* Paths that differ between a commit and the work tree, removed ones too, sorted. Untracked files count,
 * ignored ones do not. */
MUST_USE struct err *repo_changed(struct repo *r, const struct commit *base, struct strvec *out);
/* Before repo_commit_files: ERR_INVALID naming those of the files (relative) that are not as in HEAD, or not
 * in it; or the merge or rebase that is in progress. */
MUST_USE struct err *repo_check_committed(struct repo *r, const struct strvec *files);
/*
 * One commit of these files (relative) as they are in the work tree, and of nothing else: what is staged
 * stays staged. Made by git itself in the foreground, so that hooks, signing and the user's name apply.
 * ERR_EXITED when git or a hook refuses: then they stay changed.
 */
MUST_USE struct err *repo_commit_files(struct repo *r, const struct strvec *files, const char *message,
	const struct cancel *cancel, struct commit *out);
/* Files at a commit ("git show"; NULL: in the work tree). *found false when absent; ERR_INVALID for a
 * directory or link. */
MUST_USE struct err *repo_read_at(
	struct repo *r, const struct commit *c, const char *path, size_t max, struct buf *out, bool *found);
/* Names below a directory at a commit (NULL: in the work tree), sorted, directories with a trailing slash.
 * Absent: empty. */
MUST_USE struct err *repo_list_at(
	struct repo *r, const struct commit *c, const char *path, struct strvec *out);
/*
 * Where the remote that the main ref belongs to (or origin) can be looked at: "https://host/owner/repo",
 * equal however a clone reaches it, without credentials. *out NULL if there is none or it is a path of this
 * machine. Caller frees.
 */
MUST_USE struct err *repo_remote_url(struct repo *r, char **out);
/* The same of a remote's address as git has it. NULL for a path of this machine. Caller frees. */
char *remote_url_public(const char *url);

enum provenance { PROVENANCE_MAIN, PROVENANCE_BRANCH, PROVENANCE_UNKNOWN };
struct provenance_query {
	const char *hex; /* 7 characters of a tag or 40 of a revision label; borrowed */
	/* the answer; reason and commit are the caller's */
	enum provenance provenance;
	char *reason;         /* NULL unless UNKNOWN */
	struct commit commit; /* filled unless UNKNOWN */
};
void provenance_query_fini(struct provenance_query *q);
/* Where the commits of tags stand against the main ref, any number at once, in one walk of the history. */
MUST_USE struct err *repo_provenance_many(struct repo *r, struct provenance_query *queries, size_t count);
/* The main ref in use ("origin/main") and its commit; *name NULL if there is none. Caller frees *name. */
MUST_USE struct err *repo_main(struct repo *r, char **name, struct commit *c);
/* The same; ERR_NOT_FOUND names the refs that were tried when there is none. */
MUST_USE struct err *repo_main_required(struct repo *r, char **name, struct commit *c);
/* When it was last known to be what the remote has: the last fetch, clone, or push. 0: it is no branch of a
 * remote, or that is not known. */
MUST_USE struct err *repo_main_fetched(struct repo *r, int64_t *when);

/* cooper.yaml, defaults filled in. */
struct repo_config {
	char *registry;   /* the server's if that alone is named; NULL: the embedded one of the local store */
	char *namespace_; /* default: the name of the repository's folder, made valid */
	char *main_ref;   /* NULL: first of upstream/main, origin/main, main (then master alike) */
	char *containers; /* "containers" */
	struct strvec manifests;
	struct strvec helpers;
	struct strvec runners; /* "dockerfile=k8s", ... */
	char *server;
};
void repo_config_fini(struct repo_config *c);
/* Parse text of path (for messages). Unknown keys are errors with line and a suggestion. folder: name for the
 * default namespace. */
MUST_USE struct err *repo_config_parse(
	struct str text, const char *path, const char *folder, struct repo_config *out);
/* At a commit, or of the work tree (c NULL); defaults when the file is absent. Also tells repo_main its main
 * ref. */
MUST_USE struct err *repo_config_load(struct repo *r, const struct commit *c, struct repo_config *out);

enum build_kind { KIND_CONTAINER_PY, KIND_DOCKERFILE, KIND_NIX };
#define BUILD_KINDS 3
const char *build_kind_name(enum build_kind k); /* "container.py", "dockerfile", "nix" */
const char *build_kind_file(enum build_kind k); /* "container.py", "Dockerfile", "default.nix" */

struct container {
	char *name;
	char *dir; /* relative to the repository: "containers/miniflux" */
	bool has[BUILD_KINDS];
	char *kinds; /* "dockerfile+nix" */
};
void container_fini(struct container *c);
/* All, sorted by name; vec of struct container. A folder without a build file is skipped with a warning on
 * events. */
MUST_USE struct err *repo_containers(struct repo *r, const struct repo_config *cfg, const struct commit *c,
	struct event_stream *events, struct vec *out);
/* One; ERR_NOT_FOUND lists the available ones with their kinds. */
MUST_USE struct err *repo_container(struct repo *r, const struct repo_config *cfg, const struct commit *c,
	const char *name, struct container *out);

/* The version a build file declares. text of path; errors carry path:line. *out NULL when none is declared.
 * Caller frees *out. */
MUST_USE struct err *version_extract(
	enum build_kind kind, struct str text, const char *path, struct event_stream *events, char **out);
/* Can it be part of a tag? ERR_INVALID says what stands against it. */
MUST_USE struct err *version_check(const char *version);
/* Tag rules. Caller frees. "v1.2.3-74029e1[-nix]". */
char *release_tag(const char *version, const struct commit *c, enum build_kind kind);
/* Of a build with uncommitted changes: "v1.2.3-74029e1-dirty-<8 hex of tree>[-nix]", which no provenance
 * matches. tree: of the folder as it is. */
char *release_tag_dirty(
	const char *version, const struct commit *c, enum build_kind kind, const struct digest *tree);
/* Of a commit that is on no branch of a remote: "v1.2.3-74029e1-unpushed[-nix]", which no provenance matches.
 */
char *release_tag_unpushed(const char *version, const struct commit *c, enum build_kind kind);
struct tag_parts {
	char *version; /* without the leading v */
	char sha7[8];
	bool nix;
};
void tag_parts_fini(struct tag_parts *t);
/* *ok false when the tag has not the form ^v(.+)-([0-9a-f]{7})(-nix)?$ */
void tag_parse(const char *tag, bool *ok, struct tag_parts *out);
/* Numeric-aware order of versions: <0, 0, >0. -rN above the release, -rc/-alpha/-beta below. */
int version_cmp(const char *a, const char *b);
