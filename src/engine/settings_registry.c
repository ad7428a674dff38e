/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "engine/settings_internal.h"

#include <string.h>

static struct err *wrong(const char *path, const struct yaml_node *at, const char *what)
{
	return err_new(ERR_INVALID, "%s:%u:%u: %s", path, at->line, at->column, what);
}

/* Absent leaves *out alone; "off" is 0 where that is offered. */
static struct err *get_duration(
	const struct yaml_node *map, const char *key, const char *path, bool off, int64_t *out)
{
	const char *text = NULL;
	TRY(yaml_get_text(map, key, path, &text));
	if (!text)
		return NULL;
	if (off && cstr_eq(text, "off")) {
		*out = 0;
		return NULL;
	}
	int64_t span = 0;
	TRY(settings_duration(text, path, yaml_get(map, key), &span));
	if (span == 0)
		return wrong(path, yaml_get(map, key), off ? "a duration, or off" : "it must be more than 0");
	*out = span;
	return NULL;
}

static struct err *parse_quotas(struct registry_policy *p, const struct yaml_node *map, const char *path)
{
	if (!map || map->kind == YAML_EMPTY)
		return NULL;
	if (map->kind != YAML_MAP)
		return wrong(path, map, "quotas is a map from namespace to size");
	for (size_t i = 0; i < map->count; i++) {
		const struct yaml_node *key = map->keys[i];
		uint64_t bytes = 0;
		if (strchr(key->text, '/'))
			return wrong(path, key,
				"a namespace is the first part of a repository's name, without a slash");
		TRY(yaml_get_size(map, key->text, path, &bytes));
		struct registry_quota *q = vec_push(&p->quotas);
		*q = (struct registry_quota){.namespace_ = mem_strdup(key->text), .bytes = bytes};
	}
	return NULL;
}

static struct err *parse_rule(struct registry_policy *p, const struct yaml_node *map, const char *path)
{
	static const char *const keys[] = {"repositories", "keep-newest", "keep-younger", "keep-tags", NULL};
	TRY(yaml_check_keys(map, path, keys));
	struct retention_rule *r = vec_push(&p->retention);
	TRY(yaml_get_texts(map, "repositories", path, &r->repositories));
	TRY(yaml_get_texts(map, "keep-tags", path, &r->keep_tags));
	TRY(yaml_get_size(map, "keep-newest", path, &r->keep_newest));
	TRY(get_duration(map, "keep-younger", path, false, &r->keep_younger));
	/* A slip of the pen must not empty a registry. */
	if (!r->keep_newest && !r->keep_younger)
		return wrong(path, map, "a rule of retention needs keep-newest or keep-younger");
	return NULL;
}

static struct err *parse_retention(struct registry_policy *p, const struct yaml_node *list, const char *path)
{
	if (!list || list->kind == YAML_EMPTY)
		return NULL;
	if (list->kind != YAML_LIST)
		return wrong(path, list, "retention is a list of rules");
	for (size_t i = 0; i < list->count; i++)
		TRY(parse_rule(p, list->items[i], path));
	return NULL;
}

struct err *settings_parse_registry(struct registry_policy *p, const struct yaml_node *map, const char *path)
{
	static const char *const keys[] = {"immutable-tags", "sparse", "grace", "gc", "scrub", "untagged",
		"quotas", "retention", "pinned-in", NULL};
	TRY(yaml_check_keys(map, path, keys));
	/* What a later file says of a list or map takes the place of what an earlier one said. */
	if (yaml_get(map, "immutable-tags"))
		strvec_clear(&p->immutable);
	TRY(yaml_get_texts(map, "immutable-tags", path, &p->immutable));
	TRY(yaml_get_bool(map, "sparse", path, &p->sparse));
	TRY(get_duration(map, "grace", path, false, &p->grace));
	TRY(get_duration(map, "gc", path, true, &p->gc_every));
	TRY(get_duration(map, "scrub", path, true, &p->scrub_every));
	TRY(get_duration(map, "untagged", path, false, &p->untagged));
	if (yaml_get(map, "pinned-in"))
		strvec_clear(&p->pinned_in);
	TRY(yaml_get_texts(map, "pinned-in", path, &p->pinned_in));
	for (size_t i = 0; i < p->pinned_in.len; i++)
		if (p->pinned_in.ptr[i][0] != '/')
			return wrong(path, yaml_get(map, "pinned-in"), "pinned-in takes absolute paths");
	if (yaml_get(map, "quotas"))
		registry_policy_forget_quotas(p);
	TRY(parse_quotas(p, yaml_get(map, "quotas"), path));
	if (yaml_get(map, "retention"))
		registry_policy_forget_retention(p);
	return parse_retention(p, yaml_get(map, "retention"), path);
}
