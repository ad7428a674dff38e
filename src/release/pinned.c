/* SPDX-License-Identifier: Apache-2.0 */
#include "release/pinned.h"

#include "base/mem.h"
#include "oci/images.h"
#include "repo/manifests.h"
#include "repo/repo.h"

#include <stdlib.h>
#include <string.h>

static struct err *add_pin(const struct pin *p, struct map *out)
{
	if (p->problem && !p->readable && !p->repairable)
		return err_new(ERR_INVALID, "%s", p->problem);
	const char *slash = strchr(p->image, '/');
	const char *repository = slash ? slash + 1 : p->image;
	if (p->tag) {
		AUTO_FREE char *key = mem_printf("%s:%s", repository, p->tag);
		map_set_c(out, key, out);
	}
	if (p->digest) {
		AUTO_FREE char *key = mem_printf("%s@%s", repository, p->digest);
		map_set_c(out, key, out);
	}
	return NULL;
}

/* Caller frees. */
static char *prefix_of(const struct repo_config *cfg)
{
	return mem_printf("%s/%s/", cfg->registry ? cfg->registry : IMAGES_OWN_REGISTRY, cfg->namespace_);
}

static struct err *add_scan(struct repo *r, const struct repo_config *cfg, const struct commit *at,
	size_t *count, struct map *out)
{
	AUTO(manifest_scan_fini) struct manifest_scan scan = {0};
	AUTO_FREE char *prefix = prefix_of(cfg);
	TRY(manifests_scan(r, cfg, at, prefix, &scan));
	for (size_t i = 0; i < scan.problems.len; i++) {
		const struct manifest_problem *p = vec_at(&scan.problems, i);
		if (!p->sentinel)
			return err_new(ERR_INVALID, "%s:%u: %s", p->file, p->line, p->text);
	}
	for (size_t i = 0; i < scan.pins.len; i++)
		TRY(add_pin(vec_at(&scan.pins, i), out));
	*count += scan.pins.len;
	return NULL;
}

/* A clone in a folder of another name has another namespace by default: then all would look as if it were
 * free to go. */
static struct err *no_pins(const struct repo_config *cfg)
{
	AUTO_FREE char *prefix = prefix_of(cfg);
	return err_hint(err_new(ERR_INVALID, "its manifests name no image below %s", prefix),
		"set registry and namespace in its cooper.yaml, or take it out of pinned-in");
}

static struct err *add_clone(const char *dir, struct map *out)
{
	AUTO(repo_freep) struct repo *r = NULL;
	AUTO(repo_config_fini) struct repo_config now = {0}, then = {0};
	AUTO(commit_fini) struct commit main_commit = {0};
	AUTO_FREE char *main_name = NULL;
	size_t count = 0;
	TRY(repo_open(dir, &r));
	TRY(repo_config_load(r, NULL, &now));
	TRY(add_scan(r, &now, NULL, &count, out));
	TRY(repo_main(r, &main_name, &main_commit));
	if (main_name) {
		TRY(repo_config_load(r, &main_commit, &then));
		TRY(add_scan(r, &then, &main_commit, &count, out));
	}
	return count ? NULL : no_pins(&now);
}

struct err *release_pinned(const struct strvec *clones, struct map *out)
{
	for (size_t i = 0; i < clones->len; i++) {
		struct err *e = add_clone(clones->ptr[i], out);
		if (e)
			return err_wrap(e, "clone %s", clones->ptr[i]);
	}
	return NULL;
}
