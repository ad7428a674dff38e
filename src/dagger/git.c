/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "dagger/dagger_schema.h"

#include <ctype.h>
#include <string.h>

static const struct git_repository *repository(struct call *c)
{
	return (const struct git_repository *)(const void *)c->self;
}

static const struct git_ref *ref_self(struct call *c)
{
	return (const struct git_ref *)(const void *)c->self;
}

static struct err *unsupported(const char *name)
{
	return err_hint(err_new(ERR_UNSUPPORTED, "not supported by cooper: Query.git(%s)", name),
		"configure ssh itself: the keys, agents and known hosts of the user are used");
}

/* Kept by the session like any secret, under a name of its own. */
static const char *set_header(struct call *c, const char *from, const char *user, struct str value)
{
	const char *id = keep_text(c->d, arena_printf(c->arena, "git:%s:%s", user, from));

	session_set_secret(c->d->session, id, value);
	return id;
}

static struct err *token_header(struct call *c, const struct secret *token, const char **id)
{
	AUTO_BUF struct buf pair = {0}, line = {0};
	const char *user = arg_text(c, ARG_Query_git_httpAuthUsername), *from = NULL;

	TRY(secret_ready(c, token, &from));
	user = user && *user ? user : "x-access-token";
	buf_addf(&pair, "%s:", user);
	struct err *e = secret_text(c, token, &pair);
	if (!e) {
		buf_adds(&line, "Basic ");
		base64_add(&line, str_trim(buf_str(&pair)));
		*id = set_header(c, from, user, buf_str(&line));
		explicit_bzero(line.ptr, line.cap);
	}
	explicit_bzero(pair.ptr, pair.cap);
	return e;
}

static struct err *read_auth(struct call *c, const char **id)
{
	struct secret *token = NULL, *header = NULL;

	TRY(arg_object(c, ARG_Query_git_httpAuthToken, "Secret", (void **)&token));
	TRY(arg_object(c, ARG_Query_git_httpAuthHeader, "Secret", (void **)&header));
	if (token && header)
		return err_new(ERR_INVALID, "httpAuthToken and httpAuthHeader cannot be used together");
	if (token)
		return token_header(c, token, id);
	if (header) {
		TRY(secret_ready(c, header, id));
		/* The repository outlives the call. */
		*id = keep_text(c->d, *id);
	}
	return NULL;
}

struct err *resolve_query_git(struct call *c)
{
	struct git_repository *r = OBJECT_NEW(c, "GitRepository", git_repository);

	if (arg_given(c, ARG_Query_git_sshAuthSocket))
		return unsupported("sshAuthSocket");
	if (arg_str(c, ARG_Query_git_sshKnownHosts).len)
		return unsupported("sshKnownHosts");
	TRY(arg_object(c, ARG_Query_git_experimentalServiceHost, "Service", (void **)&r->service));
	TRY(read_auth(c, &r->auth_secret));
	r->keep_git_dir = arg_flag(c, ARG_Query_git_keepGitDir);
	const char *url = arg_text(c, ARG_Query_git_url);
	bool scheme = strstr(url, "://") || strchr(url, '@') || url[0] == '/' || url[0] == '.';
	r->url = keep_text(c->d, scheme ? url : arena_printf(c->arena, "https://%s", url));
	call_give(c, r);
	return NULL;
}

struct err *resolve_git_repository_url(struct call *c)
{
	gql_out_string(c->out, str_c(repository(c)->url));
	return NULL;
}

/* ---- references ---- */

/* The repository as sources know it. */
static struct op_git source_of(const struct git_repository *r, const char *ref)
{
	return (struct op_git){
		.url = r->url, .ref = cstr_eq(ref, "HEAD") ? NULL : ref, .auth_secret = r->auth_secret};
}

static struct err *reachable(struct call *c, const struct git_repository *r)
{
	return r->service ? service_use(c, r->service, false) : NULL;
}

static struct err *give_ref(struct call *c, const struct git_repository *r, const char *ref)
{
	struct git_ref *g = OBJECT_NEW(c, "GitRef", git_ref);
	AUTO_FREE char *commit = NULL;

	const struct op_git source = source_of(r, ref);
	TRY(reachable(c, r));
	TRY(session_git_commit(c->d->session, &source, c->cancel, &commit));
	g->repository = r;
	g->ref = keep_text(c->d, ref);
	g->commit = keep_text(c->d, commit);
	call_give(c, g);
	return NULL;
}

struct err *resolve_git_repository_head(struct call *c)
{
	return give_ref(c, repository(c), "HEAD");
}

struct err *resolve_git_repository_ref(struct call *c)
{
	return give_ref(c, repository(c), arg_text(c, ARG_GitRepository_ref_name));
}

static const char *full(struct call *c, const char *kind, const char *name)
{
	return cstr_starts(name, "refs/") ? name : arena_printf(c->arena, "refs/%s/%s", kind, name);
}

struct err *resolve_git_repository_branch(struct call *c)
{
	return give_ref(c, repository(c), full(c, "heads", arg_text(c, ARG_GitRepository_branch_name)));
}

struct err *resolve_git_repository_tag(struct call *c)
{
	return give_ref(c, repository(c), full(c, "tags", arg_text(c, ARG_GitRepository_tag_name)));
}

struct err *resolve_git_repository_commit(struct call *c)
{
	const char *id = arg_text(c, ARG_GitRepository_commit_id);

	if (strlen(id) < 7 || id[strspn(id, "0123456789abcdef")])
		return err_new(ERR_INVALID, "\"%s\" is not a commit", id);
	return give_ref(c, repository(c), id);
}

/* Names below prefix that match one of patterns (none: all), sorted, appended. */
static struct err *list_refs(
	struct call *c, const char *prefix, const struct strvec *patterns, struct strvec *out)
{
	AUTO_STRVEC struct strvec refs = {0};
	const struct op_git source = source_of(repository(c), "HEAD");

	TRY(reachable(c, repository(c)));
	TRY(session_git_refs(c->d->session, &source, c->cancel, &refs));
	for (size_t i = 0; i < refs.len; i++) {
		const char *name = refs.ptr[i];
		if (!cstr_starts(name, prefix) || cstr_ends(name, "^{}"))
			continue;
		const char *shown = name + strlen(prefix);
		bool wanted = !patterns->len;
		for (size_t k = 0; k < patterns->len; k++)
			wanted = wanted || path_match(patterns->ptr[k], shown) == 1 ||
				 path_match(patterns->ptr[k], name) == 1;
		if (wanted)
			strvec_push(out, shown);
	}
	strvec_sort(out);
	return NULL;
}

static struct err *give_refs(struct call *c, unsigned arg, const char *prefix)
{
	AUTO_STRVEC struct strvec patterns = {0}, names = {0};

	arg_texts(c, arg, &patterns);
	TRY(list_refs(c, prefix, &patterns, &names));
	struct gql_out *items = gql_out_list(c->out, names.len);
	for (size_t i = 0; i < names.len; i++)
		gql_out_string(&items[i], str_c(names.ptr[i]));
	return NULL;
}

struct err *resolve_git_repository_tags(struct call *c)
{
	return give_refs(c, ARG_GitRepository_tags_patterns, "refs/tags/");
}

struct err *resolve_git_repository_branches(struct call *c)
{
	return give_refs(c, ARG_GitRepository_branches_patterns, "refs/heads/");
}

/* Numbers of "v1.2.3"; false for what is no plain version. */
static bool version_numbers(const char *tag, unsigned long out[3])
{
	int used = 0;

	tag += *tag == 'v';
	return sscanf(tag, "%lu.%lu.%lu%n", &out[0], &out[1], &out[2], &used) == 3 && !tag[used];
}

struct err *resolve_git_repository_latest_version(struct call *c)
{
	AUTO_STRVEC struct strvec none = {0}, tags = {0};
	const char *best = NULL;
	unsigned long top[3] = {0}, now[3];

	TRY(list_refs(c, "refs/tags/", &none, &tags));
	for (size_t i = 0; i < tags.len; i++) {
		if (!version_numbers(tags.ptr[i], now))
			continue;
		bool higher = now[0] != top[0]   ? now[0] > top[0]
			      : now[1] != top[1] ? now[1] > top[1]
						 : now[2] > top[2];
		if (best && !higher)
			continue;
		best = tags.ptr[i];
		memcpy(top, now, sizeof(top));
	}
	if (!best)
		return err_new(ERR_NOT_FOUND, "%s has no tag that is a version", repository(c)->url);
	return give_ref(c, repository(c), full(c, "tags", best));
}

struct err *resolve_git_ref_commit(struct call *c)
{
	gql_out_string(c->out, str_c(ref_self(c)->commit));
	return NULL;
}

struct err *resolve_git_ref_ref(struct call *c)
{
	gql_out_string(c->out, str_c(ref_self(c)->ref));
	return NULL;
}

struct err *resolve_git_ref_common_ancestor(struct call *c)
{
	struct git_ref *other = NULL;
	AUTO_FREE char *base = NULL;

	TRY(arg_object(c, ARG_GitRef_commonAncestor_other, "GitRef", (void **)&other));
	const struct op_git source = source_of(ref_self(c)->repository, "HEAD");
	TRY(reachable(c, ref_self(c)->repository));
	TRY(session_git_merge_base(
		c->d->session, &source, ref_self(c)->commit, other->commit, c->cancel, &base));
	return give_ref(c, ref_self(c)->repository, base);
}

struct err *resolve_git_ref_tree(struct call *c)
{
	const struct git_ref *g = ref_self(c);
	struct node *n = NULL;
	struct op op = {.kind = OP_GIT, .git = source_of(g->repository, g->commit)};
	int64_t depth = arg_int(c, ARG_GitRef_tree_depth, 1);

	op.git.keep_git_dir = g->repository->keep_git_dir && !arg_flag(c, ARG_GitRef_tree_discardGitDir);
	if (op.git.keep_git_dir) {
		op.git.depth = depth < 1 ? -1 : depth > 1 ? (int)depth : 0;
		op.git.include_tags = arg_flag(c, ARG_GitRef_tree_includeTags);
	}
	/* The time that clients of this API know. */
	op.git.mtime = CLOCK_SECOND;
	const struct node_label label = {
		.name = arena_printf(c->arena, "git %s %s", g->repository->url, g->ref)};

	TRY(session_node(c->d->session, &op, NULL, 0, &label, &n));
	if (g->repository->service)
		services_bind(c->d, n, &g->repository->service, 1);
	call_give(c, directory_new(c, n, "/"));
	return NULL;
}

/* A directory with a .git is a repository that git can clone from. */
struct err *resolve_directory_as_git(struct call *c)
{
	const struct directory *dir = (const struct directory *)(const void *)c->self;
	struct git_repository *r = OBJECT_NEW(c, "GitRepository", git_repository);
	AUTO_FREE char *scratch = NULL;
	struct node *n = NULL;

	TRY(directory_root(c->d, dir, &n));
	TRY(services_for(c, n));
	TRY(session_scratch(c->d->session, &scratch));
	TRY(session_export_dir(c->d->session, n, scratch, c->cancel));
	r->keep_git_dir = true;
	r->url = keep_text(c->d, arena_printf(c->arena, "file://%s", scratch));
	call_give(c, r);
	return NULL;
}

/* "URL#REF" of an address. */
static struct git_repository *address_repository(struct call *c, const char **ref)
{
	struct git_repository *r = OBJECT_NEW(c, "GitRepository", git_repository);
	const char *text = ((const struct text *)(const void *)c->self)->text;
	const char *hash = strchr(text, '#');

	r->keep_git_dir = true;
	r->url = keep_n(c->d, text, hash ? (size_t)(hash - text) : strlen(text));
	*ref = hash && hash[1] ? hash + 1 : "HEAD";
	return r;
}

struct err *resolve_address_git_repository(struct call *c)
{
	const char *ref;

	call_give(c, address_repository(c, &ref));
	return NULL;
}

struct err *resolve_address_git_ref(struct call *c)
{
	const char *ref;
	struct git_repository *r = address_repository(c, &ref);

	return give_ref(c, r, ref);
}
