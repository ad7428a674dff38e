/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/executor_internal.h"
#include "oci/images.h"

#include <string.h>

struct image_query {
	struct sandbox_executor *sx;
	const struct op_image *op;
	const struct step_io *io;
	struct reference ref;
	struct platform platform;
};

static void image_query_fini(struct image_query *q)
{
	reference_fini(&q->ref);
}

static struct err *image_query(struct image_query *q)
{
	TRY(reference_parse(q->op->ref, true, &q->ref));
	if (q->op->platform && *q->op->platform)
		return platform_parse(q->op->platform, &q->platform);
	platform_host(&q->platform);
	return NULL;
}

/* From what the store has by that name (or digest). *found false when it has none, or not for this platform
 * and a registry may. */
static struct err *find_stored(struct image_query *q, struct descriptor *out, bool *imported, bool *found)
{
	struct stored_image img = {0};
	struct digest d = q->ref.digest;
	*found = *imported = false;
	if (!digest_is_set(&d)) {
		bool named;
		TRY(images_get(q->sx->store, &q->ref, &img, &named));
		if (!named)
			return NULL;
		d = img.digest;
		*imported = img.origin && !cstr_starts(img.origin, "pulled");
	}
	stored_image_fini(&img);
	struct err *e = images_resolve_platform(q->sx->store, &d, &q->platform, out);
	if (!e) {
		*found = true;
		return NULL;
	}
	if (err_kind(e) != ERR_NOT_FOUND || *imported)
		return e;
	err_ignore(e, "the registry may have it");
	return NULL;
}

/* A name keeps the image through gc and answers the next time; a failure to write it down is not the build's.
 */
static void remember_name(struct image_query *q, const struct descriptor *top)
{
	if (digest_is_set(&q->ref.digest) || !q->ref.tag)
		return;
	struct err *e = images_set_name(q->sx->store, &q->ref, top, "pulled");
	if (e)
		err_ignore(e, "the pull itself succeeded");
}

static struct err *ask_registry(struct image_query *q, struct descriptor *out)
{
	struct descriptor top = {0};
	struct transfer_io tio = transfer_of(q->io);
	if (!q->sx->remote)
		return err_new(ERR_NOT_FOUND, "the image %s is not in the store", q->op->ref);
	TRY(remote_pull_lazy(q->sx->remote, &q->ref, &q->platform, &tio, &top, out));
	remember_name(q, &top);
	return NULL;
}

static struct err *resolve(struct image_query *q, struct descriptor *out)
{
	bool imported, found;
	TRY(find_stored(q, out, &imported, &found));
	if (found && (q->op->pull != PULL_ALWAYS || imported || digest_is_set(&q->ref.digest)))
		return NULL;
	if (q->op->pull == PULL_NEVER) {
		char text[128];
		struct err *e = err_new(ERR_NOT_FOUND,
			"the image %s for %s is not in the store, and it may not be pulled", q->op->ref,
			platform_text(&q->platform, text));
		return err_hint(e, "import it (cooper image import), or build without --offline");
	}
	return ask_registry(q, out);
}

struct err *image_pin(struct sandbox_executor *sx, const struct op_image *op, const struct step_io *io,
	struct source_pin *out)
{
	AUTO(image_query_fini) struct image_query q = {.sx = sx, .op = op, .io = io};
	struct descriptor d = {0};
	TRY(image_query(&q));
	TRY(resolve(&q, &d));
	q.ref.digest = d.digest;
	out->text = reference_text(&q.ref);
	out->digest = d.digest;
	return NULL;
}

static struct err *read_image(
	struct image_query *q, const struct digest *d, struct manifest *m, struct image_config *c)
{
	struct err *e = images_read(q->sx->store, d, m, c);
	if (err_kind(e) != ERR_NOT_FOUND || !q->sx->remote)
		return e;
	/* Pinned earlier (or elsewhere) and not here any more: the digest says exactly what to fetch. */
	err_ignore(e, "it is fetched again");
	struct descriptor top = {0}, got = {0};
	struct transfer_io tio = transfer_of(q->io);
	q->ref.digest = *d;
	TRY(remote_pull_lazy(q->sx->remote, &q->ref, &q->platform, &tio, &top, &got));
	return images_read(q->sx->store, d, m, c);
}

struct err *image_fetch(struct sandbox_executor *sx, const struct op_image *op, const struct source_pin *pin,
	const struct step_io *io, struct snapshot *out)
{
	AUTO(image_query_fini) struct image_query q = {.sx = sx, .op = op, .io = io};
	AUTO(manifest_fini) struct manifest m = {0};
	AUTO(image_config_fini) struct image_config c = {0};
	TRY(image_query(&q));
	struct err *e = read_image(&q, &pin->digest, &m, &c);
	if (!e)
		e = images_layers(sx->store, &m, &c, &out->layers);
	return e ? err_wrap(e, "image %s", pin->text) : NULL;
}
