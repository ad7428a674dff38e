/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "cli/table.h"
#include "oci/images.h"

struct image_args {
	bool json, raw, config;
	const char *name, *platform;
};

#define OPT(field) offsetof(struct image_args, field)

static const struct option json_option[] = {
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print JSON"},
};
static const struct option import_options[] = {
	{"name", 'n', OPTION_TEXT, "REF", OPT(name), "what to call it (default: the names in the archive)"},
	{"platform", 0, OPTION_TEXT, "OS/ARCH", OPT(platform),
		"of a root file system (default: this machine's)"},
};
static const struct option inspect_options[] = {
	{"raw", 0, OPTION_FLAG, NULL, OPT(raw), "print the manifest's own bytes"},
	{"config", 0, OPTION_FLAG, NULL, OPT(config), "print the config's own bytes"},
	{"platform", 0, OPTION_TEXT, "OS/ARCH", OPT(platform),
		"which image of an index (default: this machine's)"},
};

static void free_images(struct vec *v)
{
	for (size_t i = 0; i < v->len; i++)
		stored_image_fini(vec_at(v, i));
	vec_fini(v);
}

static json_t *image_json(const struct stored_image *i)
{
	char text[DIGEST_TEXT_MAX], when[CLOCK_TEXT_MAX];
	json_t *o = json_object();

	json_set_text(o, "name", i->name);
	json_set_text(o, "digest", digest_text(&i->digest, text));
	json_set_text(o, "mediaType", i->media_type);
	json_object_set_new(o, "size", json_integer((json_int_t)i->size));
	if (i->created)
		json_set_text(o, "created", clock_rfc3339(i->created, when));
	json_set_text(o, "origin", i->origin);
	return o;
}

static void print_images(struct cli *c, const struct vec *images, bool json)
{
	static const char *const titles[] = {"NAME", "DIGEST", "SINCE", "ORIGIN"};
	AUTO_JSON json_t *list = json_array();
	struct table t = {0};

	table_start(&t, titles, ARRAY_LEN(titles));
	for (size_t i = 0; i < images->len; i++) {
		const struct stored_image *image = vec_at(images, i);
		char text[DIGEST_TEXT_MAX], when[CLOCK_TEXT_MAX];
		json_array_append_new(list, image_json(image));
		table_cell(&t, image->name);
		digest_text(&image->digest, text);
		text[19] = '\0';
		table_cell(&t, text);
		clock_rfc3339(image->created / CLOCK_SECOND * CLOCK_SECOND, when);
		table_cell(&t, image->created ? when : "-");
		table_cell(&t, image->origin);
	}
	if (json) {
		AUTO_FREE char *text = json_dump_pretty(list);
		fprintf(c->out, "%s\n", text);
	} else {
		table_print(&t, c->out);
	}
	table_fini(&t);
}

static struct err *run_ls(struct cli *c, void *args, const struct strvec *operands)
{
	struct image_args *ia = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	struct vec images = VEC_OF(struct stored_image);

	(void)operands;
	TRY(engine_open(&c->engine, &eng));
	struct err *e = images_list(engine_store(eng), &images);
	if (!e)
		print_images(c, &images, ia->json);
	free_images(&images);
	return e;
}

static struct err *run_import(struct cli *c, void *args, const struct strvec *operands)
{
	struct image_args *ia = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	struct vec names = VEC_OF(struct stored_image);
	const struct image_import im = {operands->ptr[0], ia->name, ia->platform, c->cancel};

	TRY(engine_open(&c->engine, &eng));
	struct err *e = images_import(engine_store(eng), &im, &names);
	for (size_t i = 0; i < names.len && !e; i++) {
		const struct stored_image *image = vec_at(&names, i);
		char text[DIGEST_TEXT_MAX];
		fprintf(c->out, "imported %s@%s\n", image->name, digest_text(&image->digest, text));
	}
	free_images(&names);
	return e;
}

static struct err *find_image(struct engine *eng, const char *text, struct stored_image *out)
{
	struct reference ref = {0};
	bool found = false;

	TRY(reference_parse(text, true, &ref));
	struct err *e = images_get(engine_store(eng), &ref, out, &found);
	reference_fini(&ref);
	if (!e && !found)
		e = err_hint(
			err_new(ERR_NOT_FOUND, "the store has no image %s", text), "see: cooper image ls");
	return e;
}

static struct err *print_blob(struct cli *c, struct engine *eng, const struct digest *d)
{
	AUTO_BUF struct buf bytes = {0};

	TRY(store_blob_read(engine_store(eng), d, MANIFEST_MAX, &bytes));
	fwrite(bytes.ptr, 1, bytes.len, c->out);
	return NULL;
}

static void print_layers(const struct manifest *m, json_t *o)
{
	json_t *layers = json_array();
	uint64_t total = 0;

	for (size_t i = 0; i < m->entries.len; i++) {
		const struct descriptor *d = vec_at(&m->entries, i);
		char text[DIGEST_TEXT_MAX];
		json_t *l = json_object();
		json_set_text(l, "mediaType", d->media_type);
		json_set_text(l, "digest", digest_text(&d->digest, text));
		json_object_set_new(l, "size", json_integer((json_int_t)d->size));
		json_array_append_new(layers, l);
		total += d->size;
	}
	json_object_set_new(o, "layers", layers);
	json_object_set_new(o, "layersSize", json_integer((json_int_t)total));
}

static struct err *inspect(
	struct cli *c, struct engine *eng, const struct image_args *ia, const struct stored_image *image)
{
	struct platform want;
	struct descriptor d = {0};
	struct manifest m = {0};
	struct image_config config = {0};

	if (ia->raw)
		return print_blob(c, eng, &image->digest);
	if (ia->platform)
		TRY(platform_parse(ia->platform, &want));
	else
		platform_host(&want);
	TRY(images_resolve_platform(engine_store(eng), &image->digest, &want, &d));
	TRY(images_read(engine_store(eng), &d.digest, &m, &config));
	struct err *e = NULL;
	if (ia->config) {
		e = print_blob(c, eng, &m.config.digest);
	} else {
		char text[DIGEST_TEXT_MAX];
		AUTO_JSON json_t *o = image_json(image);
		json_set_text(o, "manifest", digest_text(&d.digest, text));
		json_object_set(o, "config", config.json);
		print_layers(&m, o);
		AUTO_FREE char *dump = json_dump_pretty(o);
		fprintf(c->out, "%s\n", dump);
	}
	manifest_fini(&m);
	image_config_fini(&config);
	return e;
}

static struct err *run_inspect(struct cli *c, void *args, const struct strvec *operands)
{
	AUTO(engine_closep) struct engine *eng = NULL;
	struct stored_image image = {0};

	TRY(engine_open(&c->engine, &eng));
	struct err *e = find_image(eng, operands->ptr[0], &image);
	if (!e)
		e = inspect(c, eng, args, &image);
	stored_image_fini(&image);
	return e;
}

static struct err *not_removed(struct store *s, const char *text, const struct reference *ref)
{
	AUTO(stored_image_fini) struct stored_image image = {0};
	bool published = false;

	TRY(images_get(s, ref, &image, &published));
	if (published)
		return err_hint(err_new(ERR_INVALID, "%s is published in the registry of this store", text),
			"a tag goes when it is deleted from the registry that \"cooper serve\" gives");
	return err_hint(err_new(ERR_NOT_FOUND, "the store has no image %s", text), "see: cooper image ls");
}

static struct err *run_rm(struct cli *c, void *args, const struct strvec *operands)
{
	AUTO(engine_closep) struct engine *eng = NULL;
	struct err *first = NULL;

	(void)args;
	TRY(engine_open(&c->engine, &eng));
	for (size_t i = 0; i < operands->len; i++) {
		struct reference ref = {0};
		bool removed = false;
		struct err *e = reference_parse(operands->ptr[i], true, &ref);
		if (!e)
			e = images_remove(engine_store(eng), &ref, &removed);
		if (!e && !removed)
			e = not_removed(engine_store(eng), operands->ptr[i], &ref);
		reference_fini(&ref);
		if (!e)
			fprintf(c->out, "removed %s\n", operands->ptr[i]);
		first = err_first(first, e);
	}
	return first;
}

const struct command cmd_image_ls = {
	.name = "image ls",
	.summary = "images of the store by name",
	.operands = "",
	.options = json_option,
	.option_count = ARRAY_LEN(json_option),
	.args_size = sizeof(struct image_args),
	.run = run_ls,
};

const struct command cmd_image_import = {
	.name = "image import",
	.summary = "take in a docker or OCI archive, an OCI layout, or a root file system tar",
	.operands = "PATH",
	.details = "A root file system (any compression) becomes an image of one layer and needs --name. "
		   "Base images imported under their usual "
		   "names answer for them: builds need no registry.",
	.min = 1,
	.max = 1,
	.options = import_options,
	.option_count = ARRAY_LEN(import_options),
	.args_size = sizeof(struct image_args),
	.run = run_import,
};

const struct command cmd_image_inspect = {
	.name = "image inspect",
	.summary = "what the store knows of an image, as JSON",
	.operands = "REF",
	.min = 1,
	.max = 1,
	.options = inspect_options,
	.option_count = ARRAY_LEN(inspect_options),
	.args_size = sizeof(struct image_args),
	.run = run_inspect,
};

const struct command cmd_image_rm = {
	.name = "image rm",
	.summary = "forget image names; \"store gc\" frees their space",
	.operands = "REF...",
	.min = 1,
	.max = UNLIMITED,
	.run = run_rm,
};
