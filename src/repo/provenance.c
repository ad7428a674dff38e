/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "repo/repo.h"
#include "repo/repo_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct {
	const char *name, *full;
} usual_main[] = {
	{"upstream/main", "refs/remotes/upstream/main"},
	{"origin/main", "refs/remotes/origin/main"},
	{"main", "refs/heads/main"},
	{"upstream/master", "refs/remotes/upstream/master"},
	{"origin/master", "refs/remotes/origin/master"},
	{"master", "refs/heads/master"},
};

static struct err *configured_main(struct repo *r, git_reference **out)
{
	int rc = r->g->git_reference_dwim(out, r->git, r->main_ref);
	if (rc == GIT_ENOTFOUND)
		return err_hint(err_new(ERR_NOT_FOUND, "no branch \"%s\", which cooper.yaml names as main",
					r->main_ref),
			"git fetch, or correct main: in cooper.yaml");
	return rc < 0 ? repo_git_error(r, rc, "finding branch \"%s\"", r->main_ref) : NULL;
}

/* *out NULL if there is none. name is borrowed. */
static struct err *find_main(struct repo *r, git_reference **out, const char **name)
{
	*name = r->main_ref;
	if (r->main_ref)
		return configured_main(r, out);
	for (size_t i = 0; i < ARRAY_LEN(usual_main); i++) {
		int rc = r->g->git_reference_lookup(out, r->git, usual_main[i].full);
		*name = usual_main[i].name;
		if (rc == 0)
			return NULL;
		if (rc != GIT_ENOTFOUND)
			return repo_git_error(r, rc, "finding branch %s", usual_main[i].name);
	}
	return NULL;
}

struct err *repo_main(struct repo *r, char **name, struct commit *c)
{
	AUTO(git_reference_freep) git_reference *ref = NULL;
	const char *found = NULL;
	TRY(find_main(r, &ref, &found));
	*name = NULL;
	if (!ref)
		return NULL;
	AUTO(git_object_freep) git_object *tip = NULL;
	int rc = r->g->git_reference_peel(&tip, ref, GIT_OBJECT_COMMIT);
	if (rc < 0)
		return repo_git_error(r, rc, "reading the tip of %s", found);
	if (c)
		repo_fill_commit(r, (git_commit *)tip, c);
	*name = mem_strdup(found);
	return NULL;
}

/* When a file was last written; 0 if it is not there. */
static int64_t written(const char *dir, const char *name)
{
	AUTO_FREE char *path = path_join(dir, name);
	struct stat st;
	if (stat(path, &st) != 0)
		return 0;
	return (int64_t)st.st_mtim.tv_sec * CLOCK_SECOND + st.st_mtim.tv_nsec;
}

struct err *repo_main_fetched(struct repo *r, int64_t *when)
{
	AUTO(git_reference_freep) git_reference *ref = NULL;
	const char *name = NULL;
	TRY(find_main(r, &ref, &name));
	*when = 0;
	if (!ref || !cstr_starts(r->g->git_reference_name(ref), "refs/remotes/"))
		return NULL;
	/* FETCH_HEAD is the work tree's own, and absent after a clone; the log of the ref is written by a
	 * clone, and by a fetch or push that moved it. */
	const char *common = r->g->git_repository_commondir(r->git);
	AUTO_FREE char *log = path_join("logs", r->g->git_reference_name(ref));
	const int64_t times[] = {written(r->git_dir, "FETCH_HEAD"), written(common, "FETCH_HEAD"),
		written(common, log), written(common, r->g->git_reference_name(ref))};
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		*when = times[i] > *when ? times[i] : *when;
	return NULL;
}

/* ---- what is on main ---- */

/* A commit to be found on main; sorted by id, each once. */
struct target {
	git_oid id;
	bool on_main;
};

struct placing {
	const struct repo *repo;
	git_oid main;
	const char *main_name; /* NULL: there is none */
	bool shallow;
	struct vec targets; /* of struct target */
	size_t left;        /* not found on main yet */
};

static int by_id(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	return memcmp(x->id.id, y->id.id, sizeof(x->id.id));
}

static struct target *find_target(const struct placing *p, const git_oid *id)
{
	struct target key = {.id = *id};
	return p->targets.len ? bsearch(&key, p->targets.ptr, p->targets.len, sizeof(struct target), by_id)
			      : NULL;
}

static void sort_targets(struct placing *p)
{
	vec_sort(&p->targets, by_id);
	struct target *t = p->targets.ptr;
	size_t n = 0;
	for (size_t i = 0; i < p->targets.len; i++)
		if (!n || by_id(&t[n - 1], &t[i]) != 0)
			t[n++] = t[i];
	p->targets.len = p->left = n;
}

static void visit_commit(struct placing *p, const git_oid *id)
{
	struct target *t = find_target(p, id);
	if (t && !t->on_main) {
		t->on_main = true;
		p->left--;
	}
}

/* In a shallow clone parents are missing: whatever can be reached without them. */
static void walk_what_is_here(struct placing *p)
{
	AUTO(map_freep) struct map *seen = map_new(NULL);
	AUTO(vec_fini) struct vec todo = VEC_OF(git_oid);
	vec_push_copy(&todo, &p->main);
	while (todo.len && p->left) {
		git_oid id = *(git_oid *)vec_at(&todo, todo.len - 1);
		vec_remove(&todo, todo.len - 1);
		struct str key = str_n((const char *)id.id, sizeof(id.id));
		AUTO(git_commit_freep) git_commit *c = NULL;
		if (map_has(seen, key))
			continue;
		map_set(seen, key, NULL);
		visit_commit(p, &id);
		if (p->repo->g->git_commit_lookup(&c, p->repo->git, &id) < 0)
			continue;
		for (unsigned i = 0; i < p->repo->g->git_commit_parentcount(c); i++)
			vec_push_copy(&todo, p->repo->g->git_commit_parent_id(c, i));
	}
}

/* The newest first, so it is over soon when what is looked for is recent. */
static struct err *walk_main(struct placing *p)
{
	const struct git_lib *g = p->repo->g;
	AUTO(git_revwalk_freep) git_revwalk *walk = NULL;
	git_oid id;
	int rc = g->git_revwalk_new(&walk, p->repo->git);
	if (rc == 0)
		rc = g->git_revwalk_push(walk, &p->main);
	while (rc == 0 && p->left && (rc = g->git_revwalk_next(&id, walk)) == 0)
		visit_commit(p, &id);
	if (rc < 0 && rc != GIT_ITEROVER)
		return repo_git_error(p->repo, rc, "walking the history of %s", p->main_name);
	return NULL;
}

/* Which targets are ancestors of main. */
static struct err *place_targets(struct placing *p)
{
	if (p->main_name && p->shallow)
		walk_what_is_here(p);
	else if (p->main_name)
		return walk_main(p);
	return NULL;
}

/* ---- queries ---- */

static bool valid_hex(const char *hex)
{
	size_t len = strlen(hex);
	return len >= 7 && len <= 40 && strspn(hex, "0123456789abcdef") == len;
}

#define DEEPEN "the clone is shallow: git fetch --unshallow"

static char *reason_not_one(const struct repo *r, const char *hex, const struct vec *found, bool shallow)
{
	if (found->len == 0)
		return shallow ? mem_printf("no commit %s here; " DEEPEN, hex)
			       : mem_printf(
					 "no commit %s here: its branch is gone or was never fetched", hex);
	AUTO_BUF struct buf list = {0};
	for (size_t i = 0; i < found->len && i < 4; i++) {
		char id[13];
		buf_addf(&list, "%s%s", i ? ", " : "", r->g->git_oid_tostr(id, sizeof(id), vec_at(found, i)));
	}
	return mem_printf("%zu commits begin with %s: %s", found->len, hex, buf_cstr(&list));
}

static char *tried_main(void)
{
	AUTO_BUF struct buf b = {0};
	buf_adds(&b, "no main branch to compare with: tried ");
	for (size_t i = 0; i < ARRAY_LEN(usual_main); i++)
		buf_addf(&b, "%s%s", i ? ", " : "", usual_main[i].name);
	return buf_steal(&b);
}

struct err *repo_main_required(struct repo *r, char **name, struct commit *c)
{
	TRY(repo_main(r, name, c));
	if (*name)
		return NULL;
	AUTO_FREE char *tried = tried_main();
	return err_hint(err_new(ERR_NOT_FOUND, "%s", tried), "git fetch, or name it as main: in cooper.yaml");
}

/* The different texts that are asked for, and which of them each query means. */
struct lookups {
	struct vec prefixes; /* of struct commit_prefix */
	size_t *of_query;    /* SIZE_MAX: none */
};

static void lookups_fini(struct lookups *l)
{
	for (size_t i = 0; i < l->prefixes.len; i++)
		vec_fini(&((struct commit_prefix *)vec_at(&l->prefixes, i))->commits);
	vec_fini(&l->prefixes);
	mem_freep(&l->of_query);
}

static void gather_prefixes(struct provenance_query *queries, size_t count, struct lookups *l)
{
	AUTO(map_freep) struct map *seen = map_new(NULL); /* index + 1 */
	l->of_query = mem_array(count ? count : 1, sizeof(size_t));
	for (size_t i = 0; i < count; i++) {
		struct provenance_query *q = &queries[i];
		q->provenance = PROVENANCE_UNKNOWN;
		q->reason = NULL;
		q->commit = (struct commit){0};
		l->of_query[i] = SIZE_MAX;
		if (!valid_hex(q->hex)) {
			q->reason = mem_printf("\"%s\" is no commit id", q->hex);
			continue;
		}
		size_t at = (size_t)(uintptr_t)map_get_c(seen, q->hex);
		if (!at) {
			struct commit_prefix p = {.hex = q->hex, .commits = VEC_OF(git_oid)};
			vec_push_copy(&l->prefixes, &p);
			at = l->prefixes.len;
			map_set_c(seen, q->hex, (void *)(uintptr_t)at);
		}
		l->of_query[i] = at - 1;
	}
}

static struct err *answer(const struct placing *p, const struct vec *found, struct provenance_query *q)
{
	const struct repo *r = p->repo;
	if (found->len != 1) {
		q->reason = reason_not_one(r, q->hex, found, p->shallow);
		return NULL;
	}
	if (!p->main_name) {
		q->reason = tried_main();
		return NULL;
	}
	bool on_main = find_target(p, vec_at(found, 0))->on_main;
	if (!on_main && p->shallow) {
		q->reason = mem_printf("not found on %s, but " DEEPEN, p->main_name);
		return NULL;
	}
	AUTO(git_commit_freep) git_commit *c = NULL;
	int rc = r->g->git_commit_lookup(&c, r->git, vec_at(found, 0));
	if (rc < 0)
		return repo_git_error(r, rc, "reading commit %s", q->hex);
	repo_fill_commit(r, c, &q->commit);
	q->provenance = on_main ? PROVENANCE_MAIN : PROVENANCE_BRANCH;
	return NULL;
}

static struct err *answer_all(
	struct placing *p, const struct lookups *l, struct provenance_query *queries, size_t count)
{
	for (size_t i = 0; i < l->prefixes.len; i++) {
		const struct commit_prefix *one = vec_at(&l->prefixes, i);
		if (one->commits.len == 1)
			((struct target *)vec_push(&p->targets))->id = *(git_oid *)vec_at(&one->commits, 0);
	}
	sort_targets(p);
	TRY(place_targets(p));
	for (size_t i = 0; i < count; i++) {
		if (l->of_query[i] == SIZE_MAX)
			continue;
		const struct commit_prefix *one = vec_at(&l->prefixes, l->of_query[i]);
		TRY(answer(p, &one->commits, &queries[i]));
	}
	return NULL;
}

void provenance_query_fini(struct provenance_query *q)
{
	mem_freep(&q->reason);
	commit_fini(&q->commit);
}

static struct err *place_all(
	struct repo *r, const struct lookups *l, struct provenance_query *queries, size_t count)
{
	AUTO_FREE char *main_name = NULL;
	AUTO(commit_fini) struct commit main = {0};
	TRY(repo_main(r, &main_name, &main));
	struct placing p = {.repo = r,
		.main_name = main_name,
		.shallow = repo_is_shallow(r),
		.targets = VEC_OF(struct target)};
	if (main_name)
		TRY(repo_oid(r, main.id, &p.main));
	struct err *e = answer_all(&p, l, queries, count);
	vec_fini(&p.targets);
	return e;
}

struct err *repo_provenance_many(struct repo *r, struct provenance_query *queries, size_t count)
{
	AUTO(lookups_fini) struct lookups l = {.prefixes = VEC_OF(struct commit_prefix)};
	gather_prefixes(queries, count, &l);
	struct err *e = repo_commits_with_prefixes(r, l.prefixes.ptr, l.prefixes.len);
	if (!e)
		e = place_all(r, &l, queries, count);
	for (size_t i = 0; i < count && e; i++)
		provenance_query_fini(&queries[i]);
	return e;
}
