/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/service_versions.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "repo/yaml.h"

#define FILE_MAX (4u << 20)

void service_versions_fini(struct service_versions *v)
{
	for (size_t i = 0; i < v->services.len; i++) {
		struct service_version *s = vec_at(&v->services, i);
		mem_freep(&s->name);
		mem_freep(&s->version);
	}
	vec_fini(&v->services);
	strvec_fini(&v->names);
	strvec_fini(&v->exempt);
	*v = (struct service_versions){0};
}

static struct err *bad(const struct yaml_node *n, const char *path, const char *what)
{
	return err_new(ERR_INVALID, "%s:%u:%u: %s", path, n->line, n->column, what);
}

static struct err *read_service(
	const struct yaml_node *n, const char *path, struct map *seen, struct service_version *out)
{
	if (n->kind != YAML_MAP)
		return bad(n, path, "an entry of services: must be a map with a name");
	const char *name = NULL, *version = NULL;
	TRY(yaml_get_text(n, "name", path, &name));
	if (!name || !*name)
		return bad(n, path, "an entry of services: without a name");
	if (map_has(seen, str_c(name)))
		return err_new(ERR_INVALID, "%s:%u:%u: service \"%s\" stands twice in services:", path,
			n->line, n->column, name);
	map_set_c(seen, name, NULL);
	const struct yaml_node *v = yaml_get(n, "current-version");
	if (v && v->kind != YAML_EMPTY)
		TRY(yaml_get_text(n, "current-version", path, &version));
	*out = (struct service_version){.name = mem_strdup(name),
		.version = version && *version ? mem_strdup(version) : NULL,
		.line = version ? v->line : n->line};
	return NULL;
}

static struct err *read_services(const struct yaml_node *top, const char *path, struct service_versions *out)
{
	const struct yaml_node *list = yaml_get(top, "services");
	if (!list || list->kind == YAML_EMPTY)
		return NULL;
	if (list->kind != YAML_LIST)
		return bad(list, path, "services: must be a list");
	AUTO(map_freep) struct map *seen = map_new(NULL);
	for (size_t i = 0; i < list->count; i++) {
		struct service_version one = {0};
		TRY(read_service(list->items[i], path, seen, &one));
		vec_push_copy(&out->services, &one);
	}
	return NULL;
}

static struct err *read_names(const struct yaml_node *top, const char *path, struct strvec *out)
{
	const struct yaml_node *map = yaml_get(top, "container-names");
	if (!map || map->kind == YAML_EMPTY)
		return NULL;
	if (map->kind != YAML_MAP)
		return bad(map, path, "container-names: must be a map of container: service");
	for (size_t i = 0; i < map->count; i++) {
		if (map->items[i]->kind != YAML_SCALAR)
			return bad(map->items[i], path, "container-names: the name of a service is due here");
		envlist_set(out, map->keys[i]->text, map->items[i]->text);
	}
	return NULL;
}

static struct err *read_all(struct str text, const char *path, struct service_versions *out)
{
	AUTO(arena_freep) struct arena *a = arena_new();
	struct yaml_node *top = NULL;
	TRY(yaml_parse(a, text, path, &top));
	if (top->kind != YAML_MAP && top->kind != YAML_EMPTY)
		return bad(top, path, "a map with the key services: is due here");
	TRY(read_services(top, path, out));
	TRY(read_names(top, path, &out->names));
	return yaml_get_texts(top, "exempt-containers", path, &out->exempt);
}

struct err *service_versions_parse(struct str text, const char *path, struct service_versions *out)
{
	struct service_versions v = {.services = VEC_OF(struct service_version)};
	struct err *e = read_all(text, path, &v);
	if (e) {
		service_versions_fini(&v);
		return e;
	}
	*out = v;
	return NULL;
}

struct err *service_versions_load(
	struct repo *r, const struct commit *c, struct service_versions *out, bool *found)
{
	AUTO_BUF struct buf text = {0};
	TRY(repo_read_at(r, c, SERVICE_VERSIONS_FILE, FILE_MAX, &text, found));
	return *found ? service_versions_parse(buf_str(&text), SERVICE_VERSIONS_FILE, out) : NULL;
}

const struct service_version *service_versions_of(const struct service_versions *v, const char *container)
{
	const char *other = envlist_get(&v->names, container);
	const char *name = other ? other : container;
	for (size_t i = 0; i < v->services.len; i++) {
		const struct service_version *s = vec_at(&v->services, i);
		if (cstr_eq(s->name, name))
			return s;
	}
	return NULL;
}

bool service_versions_exempt(const struct service_versions *v, const char *container)
{
	return strvec_has(&v->exempt, container);
}
