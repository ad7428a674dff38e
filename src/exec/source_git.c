/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commits of git repositories. $COOPER_HOME/git/<sha256 of url>.git is a bare repository a URL, filled with
 * as little history as the server lets us fetch; one process at a time writes to it.
 */
#include "base/mem.h"
#include "base/path.h"
#include "exec/executor_internal.h"
#include "exec/git_tool.h"
#include "exec/step_internal.h"
#include "sys/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_SUBMODULE_DEPTH 8

struct git_repo {
	struct sandbox_executor *sx;
	const char *url;
	const struct step_io *io;
	const struct git_auth *auth; /* may be NULL */
	char *dir;                   /* of the bare repository */
	struct store_lock *lock;
};

struct git_auth {
	char *origin, *header;
};

static void git_auth_fini(struct git_auth *a)
{
	if (a->header)
		explicit_bzero(a->header, strlen(a->header));
	free(a->header);
	free(a->origin);
}

static struct err *read_auth(struct sandbox_executor *sx, const struct op_git *op, struct git_auth *out)
{
	AUTO_BUF struct buf value = {0};
	bool given;

	out->origin = op->auth_secret ? git_http_origin(op->url) : NULL;
	if (!out->origin)
		return NULL;
	TRY(secret_value(&sx->run, op->auth_secret, &value, &given));
	struct str v = str_trim(buf_str(&value));
	if (str_index(v, '\n') >= 0 || str_index(v, '\r') >= 0)
		return err_new(ERR_INVALID, "the secret %s is not one line", op->auth_secret);
	if (given)
		out->header = mem_printf("Authorization: " STR_FMT, STR_ARG(v));
	explicit_bzero(value.ptr, value.len);
	return NULL;
}

static void git_repo_fini(struct git_repo *r)
{
	free(r->dir);
	store_unlock(r->lock);
}

static bool is_commit_id(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");
	return s[n] == '\0' && (n == 40 || n == 64);
}

static bool is_short_id(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");
	return s[n] == '\0' && n >= 7;
}

static struct err *run(struct git_repo *r, const char *const *args, struct buf *out)
{
	struct git_call c = {
		.git_dir = r->dir, .ca_file = r->sx->http_ca_file, .args = args, .cancel = r->io->cancel};
	if (r->auth) {
		c.auth_url = r->auth->origin;
		c.auth_header = r->auth->header;
	}
	return git_run(&c, out);
}

static struct err *check_url(const char *url)
{
	if (url[0] == '-' || strstr(url, "::"))
		return err_hint(err_new(ERR_INVALID, "\"%s\" is not the URL of a git repository", url),
			"https, http, ssh, git and file URLs, paths, and user@host:path are");
	return NULL;
}

static struct err *open_repo(struct git_repo *r)
{
	struct digest d;
	char hex[DIGEST_TEXT_MAX];
	bool there;
	TRY(check_url(r->url));
	digest_of(r->url, strlen(r->url), &d);
	AUTO_FREE char *name = mem_printf("git/%s.git", digest_hex(&d, hex));
	AUTO_FREE char *lock = mem_printf("git:%s", hex);
	TRY(store_lock(r->sx->store, lock, false, r->io->cancel, NULL, &r->lock));
	r->dir = mem_printf("%s/%s", store_home(r->sx->store), name);
	AUTO_FREE char *head = mem_printf("%s/HEAD", r->dir);
	TRY(file_exists(AT_FDCWD, head, &there));
	if (there)
		return NULL;
	TRY(dir_make_all(store_dirfd(r->sx->store), name, 0700));
	const char *const init[] = {"init", "--quiet", "--bare", "--template=", r->dir, NULL};
	struct git_call c = {.args = init, .cancel = r->io->cancel};
	return git_run(&c, NULL);
}

static bool has_commit(struct git_repo *r, const char *commit)
{
	AUTO_FREE char *spec = mem_printf("%s^{commit}", commit);
	const char *const args[] = {"cat-file", "-e", spec, NULL};
	struct err *e = run(r, args, NULL);
	bool has = !e;
	if (e)
		err_ignore(e, "then it is fetched");
	return has;
}

/* ---- which commit ---- */

static const char *const *ref_patterns(const char *ref, struct strvec *names)
{
	strvec_push(names, ref);
	if (!cstr_starts(ref, "refs/") && strcmp(ref, "HEAD") != 0) {
		strvec_clear(names);
		strvec_pushf(names, "refs/heads/%s", ref);
		strvec_pushf(names, "refs/tags/%s", ref);
		strvec_pushf(names, "refs/tags/%s^{}", ref);
		strvec_pushf(names, "refs/%s", ref);
	} else {
		strvec_pushf(names, "%s^{}", ref);
	}
	return strvec_list(names);
}

/* Of what the server advertised: a branch before a tag, a tag's commit before the tag. */
static char *choose(const char *ref, struct str answer)
{
	AUTO_STRVEC struct strvec names = {0};
	AUTO_FREE char *best = NULL;
	int best_rank = 0;
	struct str line, id;
	ref_patterns(ref, &names);
	bool full = names.len == 2;
	while (str_split(&answer, '\n', &line)) {
		if (!str_split(&line, '\t', &id) || !line.ptr)
			continue;
		int rank = 0;
		for (size_t i = 0; i < names.len; i++)
			if (str_eq_c(str_trim(line), names.ptr[i]))
				rank = full ? (i == 1 ? 2 : 1) : (i == 0 ? 9 : i == 2 ? 8 : i == 1 ? 7 : 6);
		AUTO_FREE char *text = mem_strndup(id.ptr, id.len);
		if (rank > best_rank && is_commit_id(text)) {
			free(best);
			best = steal(&text);
			best_rank = rank;
		}
	}
	return steal(&best);
}

static struct err *ask_server(struct git_repo *r, const char *ref, char **out)
{
	AUTO_BUF struct buf answer = {0};
	AUTO_STRVEC struct strvec args = {0};
	AUTO_STRVEC struct strvec names = {0};
	strvec_push(&args, "ls-remote");
	strvec_push(&args, "--");
	strvec_push(&args, r->url);
	strvec_push_all(&args, ref_patterns(ref, &names));
	TRY(run(r, strvec_list(&args), &answer));
	*out = choose(ref, buf_str(&answer));
	return NULL;
}

static struct err *fetch_all(struct git_repo *r)
{
	AUTO_FREE char *shallow = mem_printf("%s/shallow", r->dir);
	bool is_shallow;
	TRY(file_exists(AT_FDCWD, shallow, &is_shallow));
	const char *const args[] = {"fetch", "--quiet", "--force", "--no-recurse-submodules",
		is_shallow ? "--unshallow" : "--no-auto-gc", "--", r->url,
		"+refs/heads/*:refs/cooper/heads/*", "+refs/tags/*:refs/tags/*", NULL};
	return run(r, args, NULL);
}

static struct err *no_such_ref(struct git_repo *r, const char *ref)
{
	AUTO_FREE char *shown = url_for_message(r->url);
	struct err *e =
		err_new(ERR_NOT_FOUND, "the repository %s has no branch, tag or commit \"%s\"", shown, ref);
	return err_hint(e, "see what it has with: git ls-remote %s", shown);
}

static struct err *resolve_short(struct git_repo *r, const char *ref, char **out)
{
	AUTO_BUF struct buf answer = {0};
	TRY(fetch_all(r));
	AUTO_FREE char *spec = mem_printf("%s^{commit}", ref);
	const char *const args[] = {"rev-parse", "--verify", "--quiet", spec, NULL};
	struct err *e = run(r, args, &answer);
	if (err_kind(e) == ERR_EXITED) {
		err_free(e);
		return no_such_ref(r, ref);
	}
	TRY(e);
	struct str id = str_trim(buf_str(&answer));
	*out = mem_strndup(id.ptr, id.len);
	return NULL;
}

static struct err *find_commit(struct git_repo *r, const char *ref, char **out)
{
	if (is_commit_id(ref)) {
		*out = mem_strdup(ref);
		return NULL;
	}
	if (ref[0] == '-')
		return no_such_ref(r, ref);
	TRY(ask_server(r, ref, out));
	if (*out)
		return NULL;
	return is_short_id(ref) ? resolve_short(r, ref, out) : no_such_ref(r, ref);
}

/* ---- having it ---- */

static struct err *fetch_one(struct git_repo *r, const char *what)
{
	const char *const args[] = {"fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules",
		"--", r->url, what, NULL};
	return run(r, args, NULL);
}

static struct err *need_commit(struct git_repo *r, const char *commit, const char *ref)
{
	if (has_commit(r, commit))
		return NULL;
	struct err *e = fetch_one(r, commit);
	if (err_kind(e) == ERR_CANCELED)
		return e;
	if (!e && has_commit(r, commit))
		return NULL;
	if (e)
		err_ignore(e, "not every server gives out commits by id");
	if (ref && !is_commit_id(ref) && !is_short_id(ref)) {
		e = fetch_one(r, ref);
		if (err_kind(e) == ERR_CANCELED)
			return e;
		if (e)
			err_ignore(e, "all of it is fetched next");
		if (has_commit(r, commit))
			return NULL;
	}
	TRY(fetch_all(r));
	return has_commit(r, commit) ? NULL : no_such_ref(r, commit);
}

/* What came before the commit, as far as depth says, and tags. */
static struct err *need_history(struct git_repo *r, const char *commit, int depth, bool tags)
{
	AUTO_FREE char *option = mem_printf("--depth=%d", depth);
	const char *const deepen[] = {"fetch", "--quiet", option, "--no-tags", "--no-recurse-submodules",
		"--", r->url, commit, NULL};
	const char *const get_tags[] = {"fetch", "--quiet", "--force", "--prune", "--no-recurse-submodules",
		depth < 0 ? "--no-auto-gc" : option, "--", r->url, "+refs/tags/*:refs/tags/*", NULL};
	if (depth < 0)
		TRY(fetch_all(r));
	if (depth > 1) {
		struct err *e = run(r, deepen, NULL);
		if (err_kind(e) == ERR_CANCELED)
			return e;
		if (e) {
			err_ignore(e, "not every server gives out commits by id");
			TRY(fetch_all(r));
		}
	}
	return tags ? run(r, get_tags, NULL) : NULL;
}

static struct err *commit_time(struct git_repo *r, const char *commit, int64_t *ns)
{
	AUTO_BUF struct buf answer = {0};
	const char *const args[] = {"show", "--no-patch", "--no-notes", "--format=%ct", commit, NULL};
	int64_t seconds = 0;
	TRY(run(r, args, &answer));
	if (!str_to_i64(str_trim(buf_str(&answer)), &seconds) || seconds < 0 || seconds > INT64_C(9000000000))
		seconds = 0;
	*ns = seconds * INT64_C(1000000000);
	return NULL;
}

/* ---- pinning ---- */

/* tags: as the server lists them. */
static void pin_digest(const struct op_git *op, const char *commit, struct str tags, struct digest *out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	hasher_add_field(h, STR("git-1"));
	hasher_add_field(h, str_c(commit));
	hasher_add_field(h, str_c(op->subdir ? op->subdir : ""));
	hasher_add_u64(h, op->keep_git_dir);
	hasher_add_u64(h, op->no_submodules);
	/* Submodules may be named relative to it, and a kept .git says where it came from. */
	hasher_add_field(h, str_c(op->url));
	if (op->depth || op->include_tags || op->mtime) {
		hasher_add_u64(h, (uint64_t)op->depth);
		hasher_add_u64(h, (uint64_t)op->mtime);
		hasher_add_field(h, tags);
	}
	hasher_finish(h, out);
}

struct err *git_pin(struct sandbox_executor *sx, const struct op_git *op, const struct step_io *io,
	struct source_pin *out)
{
	AUTO(git_auth_fini) struct git_auth auth = {0};
	AUTO(git_repo_fini) struct git_repo r = {.sx = sx, .url = op->url, .io = io, .auth = &auth};
	AUTO_FREE char *commit = NULL;
	AUTO_BUF struct buf tags = {0};
	const char *const list_tags[] = {"ls-remote", "--tags", "--", op->url, NULL};
	TRY(read_auth(sx, op, &auth));
	TRY(open_repo(&r));
	struct err *e = find_commit(&r, op->ref && *op->ref ? op->ref : "HEAD", &commit);
	if (!e && op->include_tags)
		e = run(&r, list_tags, &tags);
	AUTO_FREE char *shown = url_for_message(op->url);
	if (e)
		return err_wrap(e, "git repository %s", shown);
	if (op->checksum && !cstr_starts(commit, op->checksum))
		return err_hint(err_new(ERR_CORRUPT, "%s of %s is the commit %s, not %s",
					op->ref ? op->ref : "HEAD", shown, commit, op->checksum),
			"the branch or tag has moved; update the checksum if that was meant");
	out->text = mem_printf("%s#%s", op->url, commit);
	pin_digest(op, commit, buf_str(&tags), &out->digest);
	return NULL;
}

/* ---- files ---- */

struct checkout {
	struct sandbox_executor *sx;
	const struct step_io *io;
	const char *url, *commit, *ref, *subdir;
	bool keep_git_dir, submodules, include_tags;
	const struct git_auth *auth;
	const char *scratch;
	int history;   /* commits in the kept .git; negative: all */
	int64_t mtime; /* 0: the commit's */
	int depth;     /* of submodules */
};

static struct err *check_out(const struct checkout *c, const char *dir);

struct submodule {
	char *name, *path, *url;
};

/* "../x" against the URL of the repository that names it. Caller frees. */
static char *submodule_url(const char *base, const char *url)
{
	if (!cstr_starts(url, "./") && !cstr_starts(url, "../"))
		return mem_strdup(url);
	AUTO_FREE char *at = mem_strdup(base);
	while (cstr_ends(at, "/"))
		at[strlen(at) - 1] = '\0';
	for (;;) {
		if (cstr_starts(url, "./")) {
			url += 2;
			continue;
		}
		if (!cstr_starts(url, "../"))
			break;
		url += 3;
		char *slash = strrchr(at, '/');
		char *colon = strrchr(at, ':');
		if (slash && slash > at && slash[-1] != '/')
			*slash = '\0';
		else if (colon && !slash)
			colon[1] = '\0';
		else
			break;
	}
	return mem_printf("%s%s%s", at, cstr_ends(at, ":") ? "" : "/", url);
}

static struct err *module_setting(struct git_repo *r, const char *blob, const char *path, char **url)
{
	AUTO_BUF struct buf answer = {0};
	const char *const list[] = {
		"config", "--blob", blob, "-z", "--get-regexp", "^submodule\\..*\\.(path|url)$", NULL};
	struct err *e = run(r, list, &answer);
	if (err_kind(e) == ERR_EXITED) {
		err_ignore(e, "there is no .gitmodules");
		return NULL;
	}
	TRY(e);
	AUTO_FREE char *wanted = NULL;
	for (int pass = 0; pass < 2; pass++) {
		struct str rest = buf_str(&answer), item, key;
		while (str_split(&rest, '\0', &item)) {
			if (!str_split(&item, '\n', &key) || !item.ptr)
				continue;
			if (pass == 0 && str_ends(key, ".path") && str_eq_c(item, path)) {
				free(wanted);
				wanted = mem_printf(STR_FMT ".url", (int)(key.len - 5), key.ptr);
			} else if (pass == 1 && wanted && str_eq_c(key, wanted) && !*url) {
				*url = mem_strndup(item.ptr, item.len);
			}
		}
	}
	return NULL;
}

static struct err *check_out_submodule(
	const struct checkout *c, struct git_repo *r, const char *dir, const char *path, const char *commit)
{
	AUTO_FREE char *url = NULL;
	AUTO_FREE char *blob = mem_printf("%s:.gitmodules", c->commit);
	TRY(module_setting(r, blob, path, &url));
	if (!url)
		return NULL; /* git leaves such a place empty as well */
	const char *below = path;
	if (c->subdir && *c->subdir)
		below += strlen(c->subdir) + 1;
	AUTO_FREE char *full_url = submodule_url(c->url, url);
	AUTO_FREE char *sub = mem_printf("%s/%s", dir, below);
	struct checkout s = *c;
	s.url = full_url;
	s.commit = commit;
	s.ref = NULL;
	s.subdir = NULL;
	s.keep_git_dir = false;
	s.depth++;
	struct err *e =
		s.depth > MAX_SUBMODULE_DEPTH
			? err_new(ERR_INVALID, "submodules are nested deeper than %d", MAX_SUBMODULE_DEPTH)
			: check_out(&s, sub);
	return e ? err_wrap(e, "submodule %s", path) : NULL;
}

/* The places of submodules in the tree: "160000 commit <id>\t<path>". */
static struct err *check_out_submodules(const struct checkout *c, struct git_repo *r, const char *dir)
{
	AUTO_BUF struct buf answer = {0};
	const char *const list[] = {"ls-tree", "-r", "-z", "--full-tree", c->commit, NULL};
	struct str rest, item, field;
	TRY(run(r, list, &answer));
	rest = buf_str(&answer);
	while (str_split(&rest, '\0', &item)) {
		if (!str_starts(item, "160000 commit ") || !str_split(&item, '\t', &field) || !item.ptr)
			continue;
		AUTO_FREE char *path = mem_strndup(item.ptr, item.len);
		struct str id = str_skip(field, strlen("160000 commit "));
		AUTO_FREE char *commit = mem_strndup(id.ptr, id.len);
		if (c->subdir && *c->subdir && !(path_below(path, c->subdir) && strcmp(path, c->subdir) != 0))
			continue;
		TRY(check_out_submodule(c, r, dir, path, commit));
	}
	return NULL;
}

/* A .git that git can work with, of nothing but the commit: no stat data, reflogs or other traces of now. */
static struct err *make_git_dir(const struct checkout *c, struct git_repo *r, const char *dir)
{
	AUTO_FREE char *git_dir = mem_printf("%s/.git", dir);
	AUTO_FREE char *shown = url_for_message(c->url);
	const char *const init[] = {"init", "--quiet", "--template=", "--initial-branch=main", dir, NULL};
	AUTO_FREE char *option = mem_printf("--depth=%d", c->history);
	const char *depth = c->history < 0 ? "--no-auto-gc" : option;
	const char *const fetch[] = {"fetch", "--quiet", depth, "--no-tags", "--", r->dir, c->commit, NULL};
	const char *const tags[] = {
		"fetch", "--quiet", depth, "--no-tags", "--", r->dir, "+refs/tags/*:refs/tags/*", NULL};
	const char *const detach[] = {"update-ref", "--no-deref", "HEAD", c->commit, NULL};
	const char *const read_tree[] = {"read-tree", "HEAD", NULL};
	const char *const origin[] = {"config", "remote.origin.url", shown, NULL};
	const char *const allow[] = {"config", "uploadpack.allowAnySHA1InWant", "true", NULL};
	const char *const *const steps[] = {init, fetch, detach, read_tree, origin, tags};
	size_t count = ARRAY_LEN(steps) - (c->include_tags ? 0 : 1);
	TRY(run(r, allow, NULL));
	for (size_t i = 0; i < count; i++) {
		struct git_call call = {
			.git_dir = i ? git_dir : NULL,
			.work_tree = i ? dir : NULL,
			.config = "pack.threads=1",
			.args = steps[i],
			.cancel = c->io->cancel,
		};
		TRY(git_run(&call, NULL));
	}
	static const char *const traces[] = {
		"logs", "FETCH_HEAD", "ORIG_HEAD", "hooks", "branches", "description"};
	for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
		AUTO_FREE char *path = mem_printf("%s/%s", git_dir, traces[i]);
		TRY(tree_remove(AT_FDCWD, path));
	}
	return NULL;
}

static struct err *check_out(const struct checkout *c, const char *dir)
{
	AUTO(git_repo_fini) struct git_repo r = {.sx = c->sx, .url = c->url, .io = c->io, .auth = c->auth};
	AUTO_FREE char *tree = NULL;
	AUTO_FREE char *scratch = mem_printf("%s/%d", c->scratch, c->depth);
	struct git_export x = {.dir = dir, .scratch = scratch, .cancel = c->io->cancel};
	TRY(open_repo(&r));
	TRY(need_commit(&r, c->commit, c->ref));
	TRY(git_tree_id(r.dir, c->commit, c->subdir, c->io->cancel, &tree));
	x.mtime = c->mtime;
	if (!x.mtime)
		TRY(commit_time(&r, c->commit, &x.mtime));
	TRY(dir_make_all(AT_FDCWD, scratch, 0700));
	x.git_dir = r.dir;
	x.tree = tree;
	TRY(git_export(&x));
	TRY(tree_remove(AT_FDCWD, scratch));
	if (c->keep_git_dir && !(c->subdir && *c->subdir)) {
		TRY(need_history(&r, c->commit, c->history, c->include_tags));
		TRY(make_git_dir(c, &r, dir));
	}
	if (c->submodules)
		TRY(check_out_submodules(c, &r, dir));
	if (c->depth)
		return NULL;
	AUTO_FD int fd = -1;
	TRY(file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, &fd));
	return git_normalize(fd, x.mtime);
}

static struct err *fill_from_git(void *ctx, int fd, const char *dir)
{
	(void)fd;
	return check_out(ctx, dir);
}

struct err *git_fetch(struct sandbox_executor *sx, const struct op_git *op, const struct source_pin *pin,
	const struct step_io *io, struct snapshot *out)
{
	char text[DIGEST_TEXT_MAX];
	AUTO(git_auth_fini) struct git_auth auth = {0};
	AUTO_FREE char *scratch = NULL;
	AUTO_FREE char *subdir = path_rooted(op->subdir ? op->subdir : "");
	struct layer l;
	const char *at = strrchr(pin->text, '#');
	if (!at || !is_commit_id(at + 1))
		return err_new(ERR_INVALID, "\"%s\" is not the pin of a git repository", pin->text);
	TRY(read_auth(sx, op, &auth));
	TRY(store_scratch(sx->store, &scratch));
	struct checkout c = {
		.sx = sx,
		.io = io,
		.url = op->url,
		.commit = at + 1,
		.ref = op->ref,
		.subdir = subdir,
		.keep_git_dir = op->keep_git_dir,
		.submodules = !op->no_submodules,
		.include_tags = op->include_tags,
		.auth = &auth,
		.history = op->depth ? op->depth : 1,
		.mtime = op->mtime,
		.scratch = scratch,
	};
	AUTO_FREE char *key = mem_printf("git-1:%s", digest_text(&pin->digest, text));
	struct layer_recipe recipe = {.key = key, .fill = fill_from_git, .ctx = &c};
	struct err *e = layer_by_recipe(sx, &recipe, io, &l);
	e = err_first(e, tree_remove(AT_FDCWD, scratch));
	AUTO_FREE char *shown = url_for_message(op->url);
	if (e)
		return err_wrap(e, "git repository %s", shown);
	strvec_push(&out->layers, l.id);
	return NULL;
}
