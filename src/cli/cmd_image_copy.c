/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "cli/cmds.h"
#include "cli/place.h"
#include "cli/render.h"
#include "remote/attached.h"

struct copy_args {
	const char *platform, *progress;
	bool all, referrers;
};

#define OPT(field) offsetof(struct copy_args, field)

static const struct option options[] = {
	{"platform", 0, OPTION_TEXT, "OS/ARCH", OPT(platform),
		"which image of an index (default: this machine's)"},
	{"all", 'a', OPTION_FLAG, NULL, OPT(all), "the whole index with every platform"},
	{"referrers", 0, OPTION_FLAG, NULL, OPT(referrers),
		"signatures, attestations and what else is attached to it, too"},
	{"progress", 0, OPTION_TEXT, "MODE", OPT(progress), "auto, tty, plain, json or quiet"},
};

struct copy {
	struct cli *c;
	struct engine *eng;
	const struct copy_args *args;
	struct platform want;
	bool to_store; /* where an image must be whole */
	struct transfer_io io;
	struct vec attached; /* of struct attached */
};

/* An index is narrowed to one platform unless all are wanted. */
static struct err *narrow(struct copy *k, struct descriptor *d)
{
	struct descriptor one = {0};

	if (k->args->all || !media_type_is_index(d->media_type))
		return NULL;
	TRY(images_resolve_platform(engine_store(k->eng), &d->digest, &k->want, &one));
	*d = one;
	return NULL;
}

static struct err *from_registry(struct copy *k, const struct reference *ref, struct descriptor *out)
{
	struct remote *remote = NULL;

	TRY(engine_remote(k->eng, &remote));
	const struct remote_pull_options how = {&k->want, k->args->all, !k->to_store};
	TRY(remote_pull(remote, ref, &how, &k->io, out));
	return narrow(k, out);
}

static struct err *attached_from_registry(
	struct copy *k, const struct reference *ref, const struct descriptor *image)
{
	struct remote *remote = NULL;

	TRY(engine_remote(k->eng, &remote));
	return remote_pull_attached(remote, ref, image, &k->io, &k->attached);
}

static struct err *from_file(struct copy *k, const struct place *p, struct descriptor *out)
{
	struct vec names = VEC_OF(struct stored_image);
	const struct image_choice choice = {p->name, p->digest};
	/* the store needs a name to keep it by until it is where it goes */
	const struct image_import im = {p->path, "localhost/cooper/import:latest", NULL, k->c->cancel,
		k->args->referrers ? &k->attached : NULL, p->format == IMAGE_OCI_LAYOUT ? &choice : NULL};
	struct err *e = images_import(engine_store(k->eng), &im, &names);

	if (!e && names.len) {
		const struct stored_image *i = vec_at(&names, 0);
		out->digest = i->digest;
		out->size = i->size;
		snprintf(out->media_type, sizeof(out->media_type), "%s", i->media_type);
	}
	for (size_t i = 0; i < names.len; i++)
		stored_image_fini(vec_at(&names, i));
	vec_fini(&names);
	return e;
}

static struct err *from_store(struct copy *k, const struct place *p, struct descriptor *out, bool *found)
{
	struct stored_image i = {0};

	TRY(images_get(engine_store(k->eng), &p->ref, &i, found));
	if (*found) {
		out->digest = i.digest;
		out->size = i.size;
		snprintf(out->media_type, sizeof(out->media_type), "%s", i.media_type);
	}
	stored_image_fini(&i);
	return NULL;
}

static struct err *fetch(struct copy *k, const struct place *p, const char *text, struct descriptor *out)
{
	bool found = false;

	if (p->kind == PLACE_FILE) {
		TRY(from_file(k, p, out));
		return narrow(k, out);
	}
	/* Of what is attached to its images the store keeps no list. */
	if (k->args->referrers && p->kind == PLACE_STORE)
		return err_hint(err_new(ERR_UNSUPPORTED, "images of the store have no referrers"),
			"copy from the registry, or from an oci-archive, that has them");
	if (p->kind != PLACE_REGISTRY && !k->args->referrers)
		TRY(from_store(k, p, out, &found));
	if (!found && p->kind == PLACE_STORE)
		return err_hint(
			err_new(ERR_NOT_FOUND, "the store has no image %s", text), "see: cooper image ls");
	if (found)
		return narrow(k, out);
	TRY(from_registry(k, &p->ref, out));
	return k->args->referrers ? attached_from_registry(k, &p->ref, out) : NULL;
}

static struct err *deliver(struct copy *k, const struct place *p, const struct descriptor *d)
{
	struct remote *remote = NULL;
	bool already = false;

	if (p->kind == PLACE_FILE) {
		TRY(engine_fetch_missing(k->eng, &d->digest, &k->io));
		const struct image_copy copy = {d, &k->attached, p->name, p->format, p->path, k->c->cancel};
		return images_copy_to_file(engine_store(k->eng), &copy);
	}
	if (p->kind == PLACE_STORE)
		return images_set_name(engine_store(k->eng), &p->ref, d, "copied");
	TRY(engine_remote(k->eng, &remote));
	TRY(remote_push(remote, d, &p->ref, true, &k->io, &already));
	return k->attached.len ? remote_push_attached(remote, &k->attached, &p->ref, &k->io) : NULL;
}

static struct err *copy_image(struct copy *k, const char *from, const char *to)
{
	struct place src = {0}, dst = {0};
	struct descriptor d = {0};
	char text[DIGEST_TEXT_MAX];

	struct err *e = place_parse(from, &src);
	if (!e)
		e = place_parse(to, &dst);
	if (!e && k->args->referrers && dst.kind == PLACE_STORE)
		e = err_hint(err_new(ERR_UNSUPPORTED, "the store keeps images without their referrers"),
			"copy to a registry, a layout or an oci-archive");
	if (!e && digest_is_set(&dst.digest))
		e = err_hint(err_new(ERR_USAGE, "%s: an image is not put at a digest", to),
			"name it: oci:DIR:NAME");
	k->to_store = dst.kind == PLACE_STORE;
	if (!e)
		e = fetch(k, &src, from, &d);
	if (!e)
		e = deliver(k, &dst, &d);
	/* Where the image itself goes to the standard output, nothing else does. */
	const bool silent = dst.kind == PLACE_FILE && cstr_eq(dst.path, "-");
	if (!e && !silent)
		fprintf(k->c->out, "copied %s to %s\n", digest_text(&d.digest, text), to);
	if (!e && k->attached.len && !silent)
		fprintf(k->c->out, "copied %zu attached to it\n", k->attached.len);
	place_fini(&src);
	place_fini(&dst);
	return e;
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(display_freep) struct display *d = NULL;
	struct copy k = {.c = c, .args = args, .attached = VEC_OF(struct attached)};

	if (k.args->platform)
		TRY(platform_parse(k.args->platform, &k.want));
	else
		platform_host(&k.want);
	TRY(engine_open(&c->engine, &eng));
	TRY(display_new(c->err, k.args->progress, NULL, &d));
	k.eng = eng;
	k.io = (struct transfer_io){display_events(d), 0, c->cancel};
	struct err *e = copy_image(&k, operands->ptr[0], operands->ptr[1]);
	display_end(d);
	attached_list_fini(&k.attached);
	return e;
}

const struct command cmd_image_copy = {
	.name = "image copy",
	.summary = "copy an image between registries, the store and files",
	.operands = "SOURCE DESTINATION",
	.details = "Places: docker://REF (a registry), store:REF, oci:DIR[:NAME], oci-archive:FILE, "
		   "docker-archive:FILE. A plain REF is the store's image "
		   "of that name, else the registry's; as a destination it is the registry. "
		   "oci: is an image layout, which is added to; an image of that NAME is replaced. As a "
		   "source without NAME it must hold one image; oci:DIR@DIGEST is another way to say which. "
		   "DIR ends at the first colon.",
	.min = 2,
	.max = 2,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct copy_args),
	.run = run,
};
