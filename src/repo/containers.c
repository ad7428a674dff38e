/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "repo/repo.h"
#include "repo/repo_internal.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *file;
} kinds[BUILD_KINDS] = {
	[KIND_CONTAINER_PY] = {"container.py", "container.py"},
	[KIND_DOCKERFILE] = {"dockerfile", "Dockerfile"},
	[KIND_NIX] = {"nix", "default.nix"},
};

const char *build_kind_name(enum build_kind k)
{
	return kinds[k].name;
}

const char *build_kind_file(enum build_kind k)
{
	return kinds[k].file;
}

void container_fini(struct container *c)
{
	mem_freep(&c->name);
	mem_freep(&c->dir);
	mem_freep(&c->kinds);
	*c = (struct container){0};
}

static void containers_fini(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		container_fini(vec_at(v, i));
	vec_fini(v);
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* One path component of the image name grammar: [a-z0-9]+((.|_|__|-+)[a-z0-9]+)* */
bool container_name_valid(struct str s)
{
	if (!s.len || s.len > 128 || !is_alnum(s.ptr[0]) || !is_alnum(s.ptr[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len;) {
		size_t run = 0;
		while (i + run < s.len && s.ptr[i + run] == s.ptr[i] && !is_alnum(s.ptr[i]))
			run++;
		if (!run) {
			i++;
			continue;
		}
		size_t most = s.ptr[i] == '-' ? s.len : s.ptr[i] == '_' ? 2 : s.ptr[i] == '.' ? 1 : 0;
		if (run > most || !is_alnum(s.ptr[i + run]))
			return false;
		i += run;
	}
	return true;
}

static struct err *look_at(struct repo *r, const struct repo_config *cfg, const struct commit *c,
	const char *name, struct container *out)
{
	AUTO(container_fini) struct container found = {.name = mem_strdup(name)};
	found.dir = mem_printf("%s/%s", cfg->containers, name);
	AUTO_STRVEC struct strvec files = {0};
	TRY(repo_list_at(r, c, found.dir, &files));
	AUTO_BUF struct buf label = {0};
	for (size_t k = 0; k < BUILD_KINDS; k++) {
		found.has[k] = strvec_has(&files, kinds[k].file);
		if (found.has[k])
			buf_addf(&label, "%s%s", label.len ? "+" : "", kinds[k].name);
	}
	found.kinds = mem_strdup(buf_cstr(&label));
	*out = found;
	found = (struct container){0};
	return NULL;
}

static void warn_skipped(struct event_stream *events, const struct container *c)
{
	AUTO_FREE char *dir = mem_printf("%s/", c->dir);
	struct source_range where = {.file = dir};
	if (!*c->kinds)
		event_warn(events, where, "skipped: no container.py, Dockerfile or default.nix in it");
	else
		event_warn(events, where,
			"skipped: \"%s\" cannot be the name of an image (lower case letters and digits, with "
			". _ or - between)",
			c->name);
}

static int by_name(const void *a, const void *b)
{
	const struct container *x = a, *y = b;
	return strcmp(x->name, y->name);
}

struct err *repo_containers(struct repo *r, const struct repo_config *cfg, const struct commit *c,
	struct event_stream *events, struct vec *out)
{
	AUTO_STRVEC struct strvec names = {0};
	TRY(repo_list_at(r, c, cfg->containers, &names));
	AUTO(containers_fini) struct vec found = VEC_OF(struct container);
	for (size_t i = 0; i < names.len; i++) {
		size_t len = strlen(names.ptr[i]);
		if (names.ptr[i][len - 1] != '/')
			continue;
		AUTO_FREE char *name = mem_strndup(names.ptr[i], len - 1);
		AUTO(container_fini) struct container one = {0};
		TRY(look_at(r, cfg, c, name, &one));
		if (!*one.kinds || !container_name_valid(str_c(name))) {
			warn_skipped(events, &one);
			continue;
		}
		vec_push_copy(&found, &one);
		one = (struct container){0};
	}
	/* The slash that sorts "a-b/" before "a/" is gone now. */
	vec_sort(&found, by_name);
	*out = found;
	found = VEC_OF(struct container);
	return NULL;
}

/* Why there is no such container, with what could be meant. */
static struct err *no_such(
	struct repo *r, const struct repo_config *cfg, const struct commit *c, const char *name)
{
	AUTO_FREE char *place = c ? mem_printf(" at %s", c->short_id) : mem_strdup("");
	struct err *e = err_new(ERR_NOT_FOUND, "no container \"%s\" in %s/%s", name, cfg->containers, place);
	AUTO(container_fini) struct container here = {0};
	struct err *look = c ? look_at(r, cfg, NULL, name, &here) : NULL;
	if (look)
		err_ignore(look, "only for a better hint");
	if (here.kinds && *here.kinds)
		return err_hint(
			e, "%s is in the work tree but not in that commit: commit it first", here.dir);
	AUTO(containers_fini) struct vec all = VEC_OF(struct container);
	look = repo_containers(r, cfg, c, NULL, &all);
	if (look)
		err_ignore(look, "only for a better hint");
	if (!all.len)
		return err_hint(e,
			"a container is a folder %s/<name> with a Dockerfile, container.py or default.nix",
			cfg->containers);
	AUTO_BUF struct buf list = {0};
	AUTO_STRVEC struct strvec names = {0};
	for (size_t i = 0; i < all.len; i++) {
		const struct container *one = vec_at(&all, i);
		buf_addf(&list, "%s%s (%s)", i ? ", " : "", one->name, one->kinds);
		strvec_push(&names, one->name);
	}
	const char *near = str_suggest(name, strvec_list(&names));
	if (near)
		return err_hint(e, "did you mean \"%s\"? There are: %s", near, buf_cstr(&list));
	return err_hint(e, "there are: %s", buf_cstr(&list));
}

struct err *repo_container(struct repo *r, const struct repo_config *cfg, const struct commit *c,
	const char *name, struct container *out)
{
	if (!container_name_valid(str_c(name)))
		return err_hint(err_new(ERR_INVALID, "\"%s\" cannot be the name of a container", name),
			"lower case letters and digits, with single . _ or - between");
	AUTO_STRVEC struct strvec names = {0};
	TRY(repo_list_at(r, c, cfg->containers, &names));
	AUTO_FREE char *slashed = mem_printf("%s/", name);
	if (strvec_has(&names, name))
		return err_new(
			ERR_INVALID, "%s/%s is not a folder but a file or a link", cfg->containers, name);
	if (!strvec_has(&names, slashed))
		return no_such(r, cfg, c, name);
	AUTO(container_fini) struct container found = {0};
	TRY(look_at(r, cfg, c, name, &found));
	if (!*found.kinds)
		return err_hint(err_new(ERR_NOT_FOUND, "%s holds no build file", found.dir),
			"add a Dockerfile, container.py or default.nix");
	*out = found;
	found = (struct container){0};
	return NULL;
}
