/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/mem.h"
#include "repo/repo.h"
#include "repo/repo_internal.h"

#include <string.h>

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

struct err *repo_main(struct repo *r, char **name, struct commit *c)
{
	AUTO(git_reference_freep) git_reference *ref = NULL;
	const char *found = r->main_ref;
	if (found)
		TRY(configured_main(r, &ref));
	for (size_t i = 0; i < ARRAY_LEN(usual_main) && !ref; i++) {
		int rc = r->g->git_reference_lookup(&ref, r->git, usual_main[i].full);
		if (rc < 0 && rc != GIT_ENOTFOUND)
			return repo_git_error(r, rc, "finding branch %s", usual_main[i].name);
		found = usual_main[i].name;
	}
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

struct prefix_search {
	const struct repo *repo;
	git_odb *odb;
	git_oid prefix;
	size_t len;
	struct vec *out;
};

static void add_if_commit(struct prefix_search *s, const git_oid *id)
{
	size_t size = 0;
	git_object_t type = GIT_OBJECT_INVALID;
	if (s->repo->g->git_odb_read_header(&size, &type, s->odb, id) < 0 || type != GIT_OBJECT_COMMIT)
		return;
	for (size_t i = 0; i < s->out->len; i++)
		if (s->repo->g->git_oid_equal(vec_at(s->out, i), id))
			return; /* packed and loose at once */
	vec_push_copy(s->out, id);
}

static int visit_object(const git_oid *id, void *payload)
{
	struct prefix_search *s = payload;
	if (s->repo->g->git_oid_ncmp(id, &s->prefix, s->len) == 0)
		add_if_commit(s, id);
	return 0;
}

struct err *repo_commits_with_prefix(const struct repo *r, const char *hex, struct vec *out)
{
	struct prefix_search s = {.repo = r, .len = strlen(hex), .out = out};
	int rc = r->g->git_oid_fromstrn(&s.prefix, hex, s.len);
	if (rc < 0)
		return err_new(ERR_INVALID, "\"%s\" is no commit id", hex);
	AUTO(git_odb_freep) git_odb *odb = NULL;
	rc = r->g->git_repository_odb(&odb, r->git);
	if (rc < 0)
		return repo_git_error(r, rc, "opening the objects of %s", r->root);
	s.odb = odb;
	git_oid one;
	rc = s.len == 40 ? (r->g->git_odb_exists(odb, &s.prefix) ? 0 : GIT_ENOTFOUND)
			 : r->g->git_odb_exists_prefix(&one, odb, &s.prefix, s.len);
	if (rc == 0)
		add_if_commit(&s, s.len == 40 ? &s.prefix : &one);
	else if (rc == GIT_EAMBIGUOUS) /* seldom, and the only way to see them all */
		rc = r->g->git_odb_foreach(odb, visit_object, &s);
	if (rc < 0 && rc != GIT_ENOTFOUND)
		return repo_git_error(r, rc, "looking for commits that begin with %s", hex);
	return NULL;
}

/* In a shallow clone parents are missing: whatever can be reached without them. */
static bool reachable_in_what_is_here(const struct repo *r, const git_oid *from, const git_oid *want)
{
	AUTO(map_freep) struct map *seen = map_new(NULL);
	AUTO(vec_fini) struct vec todo = VEC_OF(git_oid);
	vec_push_copy(&todo, from);
	while (todo.len) {
		git_oid id = *(git_oid *)vec_at(&todo, todo.len - 1);
		vec_remove(&todo, todo.len - 1);
		struct str key = str_n((const char *)id.id, sizeof(id.id));
		if (map_has(seen, key))
			continue;
		if (r->g->git_oid_equal(&id, want))
			return true;
		map_set(seen, key, NULL);
		AUTO(git_commit_freep) git_commit *c = NULL;
		if (r->g->git_commit_lookup(&c, r->git, &id) < 0)
			continue;
		for (unsigned i = 0; i < r->g->git_commit_parentcount(c); i++)
			vec_push_copy(&todo, r->g->git_commit_parent_id(c, i));
	}
	return false;
}

static struct err *is_on_main(struct repo *r, const git_oid *main, const git_oid *id, bool shallow, bool *out)
{
	if (r->g->git_oid_equal(main, id)) {
		*out = true;
		return NULL;
	}
	if (shallow) {
		*out = reachable_in_what_is_here(r, main, id);
		return NULL;
	}
	int rc = r->g->git_graph_descendant_of(r->git, main, id);
	if (rc < 0)
		return repo_git_error(r, rc, "comparing a commit with main");
	*out = rc == 1;
	return NULL;
}

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

static char *reason_no_main(void)
{
	AUTO_BUF struct buf b = {0};
	buf_adds(&b, "no main branch to compare with: tried ");
	for (size_t i = 0; i < ARRAY_LEN(usual_main); i++)
		buf_addf(&b, "%s%s", i ? ", " : "", usual_main[i].name);
	buf_adds(&b, "; name it as main: in cooper.yaml");
	return buf_steal(&b);
}

static struct err *place_commit(
	struct repo *r, const git_oid *id, bool shallow, enum provenance *out, char **reason)
{
	AUTO_FREE char *main_name = NULL;
	AUTO(commit_fini) struct commit main = {0};
	TRY(repo_main(r, &main_name, &main));
	*out = PROVENANCE_UNKNOWN;
	if (!main_name) {
		*reason = reason_no_main();
		return NULL;
	}
	git_oid main_id;
	TRY(repo_oid(r, main.id, &main_id));
	bool on_main = false;
	TRY(is_on_main(r, &main_id, id, shallow, &on_main));
	if (on_main)
		*out = PROVENANCE_MAIN;
	else if (!shallow)
		*out = PROVENANCE_BRANCH;
	else
		*reason = mem_printf("not found on %s, but " DEEPEN, main_name);
	return NULL;
}

struct err *repo_provenance(
	struct repo *r, const char *hex, enum provenance *out, char **reason, struct commit *commit)
{
	*out = PROVENANCE_UNKNOWN;
	*reason = NULL;
	if (!valid_hex(hex)) {
		*reason = mem_printf("\"%s\" is no commit id", hex);
		return NULL;
	}
	bool shallow = repo_is_shallow(r);
	AUTO(vec_fini) struct vec found = VEC_OF(git_oid);
	TRY(repo_commits_with_prefix(r, hex, &found));
	if (found.len != 1) {
		*reason = reason_not_one(r, hex, &found, shallow);
		return NULL;
	}
	TRY(place_commit(r, vec_at(&found, 0), shallow, out, reason));
	if (!commit || *out == PROVENANCE_UNKNOWN)
		return NULL;
	AUTO(git_commit_freep) git_commit *c = NULL;
	int rc = r->g->git_commit_lookup(&c, r->git, vec_at(&found, 0));
	if (rc < 0)
		return repo_git_error(r, rc, "reading commit %s", hex);
	repo_fill_commit(r, c, commit);
	return NULL;
}
