/* SPDX-License-Identifier: Apache-2.0 */
/* Every container has a version, and one only. */
#include "base/mem.h"
#include "release/check_internal.h"
#include "repo/service_versions.h"

#include <string.h>

#define BUILD_FILE_MAX (4u << 20)

/* Of a folder that is skipped. */
static void take_warning(void *ctx, const struct event *e)
{
	struct check *c = ctx;
	if (e->type == EVENT_WARNING && e->where.file &&
		check_scope_has(&c->scope, &c->config, e->where.file))
		check_found(c, CHECK_BUILD_FILE, e->where.file, 0, NULL, STR_FMT, STR_ARG(e->text));
}

struct survey {
	struct check *c;
	const struct container *container;
	const struct service_versions *services; /* NULL: there is no such file */
	char *first;                             /* version that the others are compared with */
	const char *first_in;
	char *declared[BUILD_KINDS];
	bool unreadable[BUILD_KINDS];
	struct buf text;
	bool failed;
};

static void survey_fini(struct survey *s)
{
	mem_freep(&s->first);
	for (int i = 0; i < BUILD_KINDS; i++)
		mem_freep(&s->declared[i]);
	buf_fini(&s->text);
}

static const char *plain(const char *version)
{
	return version + (*version == 'v');
}

/* Say what is in file, and whether that agrees with the others. */
static void compare(struct survey *s, const char *path, const char *file, uint32_t line, const char *version)
{
	buf_addf(&s->text, "%s%s %s", s->text.len ? ", " : "", file, version);
	if (!s->first) {
		s->first = mem_strdup(version);
		s->first_in = file;
		return;
	}
	if (cstr_eq(plain(s->first), plain(version)))
		return;
	s->failed = true;
	check_found(s->c, CHECK_VERSIONS_DIFFER, path, line, NULL, "%s: version %s in %s, but %s in %s",
		s->container->name, version, file, s->first, s->first_in);
}

static void no_version(struct survey *s, enum build_kind kind, const char *path)
{
	s->failed = true;
	buf_addf(&s->text, "%s%s -", s->text.len ? ", " : "", build_kind_file(kind));
	check_found(s->c, CHECK_VERSION, path, 0, NULL, "%s: no version is declared", s->container->name);
}

static struct err *read_declared(struct survey *s, enum build_kind kind)
{
	AUTO_FREE char *path = mem_printf("%s/%s", s->container->dir, build_kind_file(kind));
	AUTO_BUF struct buf text = {0};
	bool found = false;
	struct err *e = repo_read_at(s->c->rq->repo, NULL, path, BUILD_FILE_MAX, &text, &found);
	if (!e && found)
		e = version_extract(kind, buf_str(&text), path, s->c->rq->events, &s->declared[kind]);
	if (err_kind(e) != ERR_INVALID)
		return e;
	AUTO_FREE char *why = err_text(e);
	check_found_text(s->c, CHECK_VERSION, path, 0, err_hint_text(e), why);
	s->failed = s->unreadable[kind] = true;
	err_ignore(e, "it is reported");
	return NULL;
}

/* A default.nix without one is released under that of the only other file that declares one. */
static bool has_neighbour(const struct survey *s)
{
	return !s->declared[KIND_CONTAINER_PY] != !s->declared[KIND_DOCKERFILE];
}

static void compare_service(struct survey *s)
{
	const char *name = s->container->name;
	if (!s->services || service_versions_exempt(s->services, name))
		return;
	const struct service_version *v = service_versions_of(s->services, name);
	if (v && v->version) {
		compare(s, SERVICE_VERSIONS_FILE, SERVICE_VERSIONS_FILE, v->line, v->version);
		return;
	}
	s->failed = true;
	if (v)
		check_found(s->c, CHECK_SERVICE_VERSION, SERVICE_VERSIONS_FILE, v->line, NULL,
			"%s: service %s has no current-version", name, v->name);
	else
		check_found(s->c, CHECK_SERVICE_VERSION, SERVICE_VERSIONS_FILE, 0, NULL,
			"%s: there is no service of that name", name);
}

static struct err *survey_container(struct survey *s)
{
	const struct container *k = s->container;
	for (int i = 0; i < BUILD_KINDS; i++)
		if (k->has[i])
			TRY(read_declared(s, (enum build_kind)i));
	for (int i = 0; i < BUILD_KINDS; i++) {
		enum build_kind kind = (enum build_kind)i;
		AUTO_FREE char *path = mem_printf("%s/%s", k->dir, build_kind_file(kind));
		if (s->declared[i])
			compare(s, path, build_kind_file(kind), 0, s->declared[i]);
		else if (k->has[i] && !s->unreadable[i] && !(kind == KIND_NIX && has_neighbour(s)))
			no_version(s, kind, path);
	}
	compare_service(s);
	return NULL;
}

static struct err *check_container(
	struct check *c, const struct service_versions *services, const struct container *k)
{
	AUTO(survey_fini) struct survey s = {.c = c, .services = services, .container = k};
	TRY(survey_container(&s));
	struct checked_versions *row = vec_push(&c->out->versions);
	*row = (struct checked_versions){.container = mem_strdup(k->name),
		.kinds = mem_strdup(k->kinds),
		.versions = mem_strdup(buf_cstr(&s.text)),
		.ok = !s.failed};
	return NULL;
}

static struct err *load_services(struct check *c, struct service_versions *out, bool *found)
{
	struct err *e = service_versions_load(c->rq->repo, NULL, out, found);
	if (err_kind(e) != ERR_INVALID)
		return e;
	AUTO_FREE char *why = err_text(e);
	check_found_text(c, CHECK_SERVICE_VERSION, SERVICE_VERSIONS_FILE, 0, err_hint_text(e), why);
	err_ignore(e, "it is reported");
	*found = false;
	return NULL;
}

static struct err *find_containers(struct check *c, struct vec *out)
{
	struct event_stream *events = event_stream_new();
	event_stream_add(events, take_warning, c);
	struct err *e = repo_containers(c->rq->repo, &c->config, NULL, events, out);
	event_stream_free(events);
	return e;
}

struct err *check_versions(struct check *c)
{
	AUTO(service_versions_fini) struct service_versions services = {0};
	bool found = false;
	AUTO(vec_fini) struct vec containers = VEC_OF(struct container);
	TRY(load_services(c, &services, &found));
	struct err *e = find_containers(c, &containers);
	for (size_t i = 0; i < containers.len; i++) {
		struct container *k = vec_at(&containers, i);
		AUTO_FREE char *dir = mem_printf("%s/", k->dir);
		if (!e && check_scope_has(&c->scope, &c->config, dir))
			e = check_container(c, found ? &services : NULL, k);
		container_fini(k);
	}
	return e;
}
