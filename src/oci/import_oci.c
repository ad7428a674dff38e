/* SPDX-License-Identifier: Apache-2.0 */
/* OCI image layouts (image-spec image-layout.md), as a directory and as a tar of one. */
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "oci/import_internal.h"
#include "oci/layout_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_DEPTH_MAX 4
#define INDEXES_MAX 1000
/* Names that a message lists. */
#define LISTED_MAX 20
#define ANNOTATION_NAME "io.containerd.image.name"

struct oci {
	struct store *s;
	const struct image_import *im;
	int dirfd;         /* of a layout directory; -1: an archive, whose blobs are in the store already */
	struct map *taken; /* digests of manifests that are in, with all they name */
};

static struct err *store_from(struct store *s, byte_source *source, void *ctx, const struct digest *want,
	const struct cancel *cancel)
{
	AUTO(store_blob_abandonp) struct store_blob_writer *w = NULL;
	AUTO_FREE void *p = mem_alloc(256u << 10);
	TRY(store_blob_begin(s, &w));
	store_blob_expect(w, want->algo);
	for (;;) {
		size_t n = 256u << 10;
		TRY(cancel_check(cancel));
		TRY(source(ctx, p, &n));
		if (n == 0)
			break;
		TRY(store_blob_write(w, p, n));
	}
	struct digest got;
	return store_blob_commit(steal(&w), want, &got);
}

static struct err *take_from_dir(struct oci *o, const struct digest *d, uint64_t size)
{
	char hex[DIGEST_TEXT_MAX];
	struct stat st;
	AUTO_FREE char *path = mem_printf("blobs/%s/%s", digest_algo_name(d->algo), digest_hex(d, hex));
	AUTO_FD int fd = -1;
	struct err *e = root_open(o->dirfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd);
	if (err_kind(e) == ERR_NOT_FOUND) {
		err_free(e);
		return NULL;
	}
	TRY(e);
	/* Before all of it is read and written. */
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return err_new(ERR_CORRUPT, "%s is not a file of %llu bytes, as its descriptor says", path,
			(unsigned long long)size);
	struct fd_source source = {.fd = fd, .what = path};
	return store_from(o->s, fd_source_read, &source, d, o->im->cancel);
}

/* Get the blob into the store. Absent is ERR_NOT_FOUND, or with optional success with *there false. */
static struct err *ensure(struct oci *o, const struct descriptor *d, bool optional, bool *there)
{
	char text[DIGEST_TEXT_MAX];
	int64_t size = -1;
	TRY(store_blob_stat(o->s, &d->digest, &size));
	if (size < 0 && o->dirfd >= 0) {
		TRY(take_from_dir(o, &d->digest, d->size));
		TRY(store_blob_stat(o->s, &d->digest, &size));
	}
	*there = size >= 0;
	if (size < 0 && !optional)
		return err_new(ERR_NOT_FOUND, "the archive holds no blob %s", digest_text(&d->digest, text));
	if (size >= 0 && (uint64_t)size != d->size)
		return err_new(ERR_CORRUPT, "blob %s has %lld bytes but its descriptor says %llu",
			digest_text(&d->digest, text), (long long)size, (unsigned long long)d->size);
	return NULL;
}

static struct err *take_manifest(struct oci *o, const struct descriptor *d, int depth);

static struct err *take_image(struct oci *o, const struct manifest *m)
{
	bool there;
	TRY(ensure(o, &m->config, false, &there));
	for (size_t i = 0; i < m->entries.len; i++) {
		const struct descriptor *layer = vec_at(&m->entries, i);
		TRY(ensure(o, layer, media_type_is_foreign_layer(layer->media_type), &there));
	}
	return NULL;
}

/* Exporters leave other platforms out of an archive but not out of its index: one child at least must be
 * whole. */
static struct err *take_index(struct oci *o, const struct manifest *m, int depth)
{
	size_t taken = 0;
	for (size_t i = 0; i < m->entries.len; i++) {
		const struct descriptor *child = vec_at(&m->entries, i);
		bool there;
		TRY(ensure(o, child, true, &there));
		if (!there)
			continue;
		taken++;
		if (media_type_is_manifest(child->media_type))
			TRY(take_manifest(o, child, depth + 1));
	}
	if (taken == 0 && m->entries.len > 0)
		return err_new(ERR_NOT_FOUND, "the archive holds an index but none of its manifests");
	return NULL;
}

static struct err *take_manifest(struct oci *o, const struct descriptor *d, int depth)
{
	char text[DIGEST_TEXT_MAX];
	bool there;
	if (depth > INDEX_DEPTH_MAX)
		return err_new(ERR_INVALID, "indexes are nested deeper than %d", INDEX_DEPTH_MAX);
	/* Indexes that name one index many times, and so on, would have no end. */
	if (map_has(o->taken, str_c(digest_text(&d->digest, text))))
		return NULL;
	TRY(cancel_check(o->im->cancel));
	TRY(ensure(o, d, false, &there));
	AUTO_BUF struct buf bytes = {0};
	TRY(store_blob_read(o->s, &d->digest, MANIFEST_MAX, &bytes));
	AUTO(manifest_fini) struct manifest m = {0};
	struct err *e = manifest_parse(buf_str(&bytes), d->media_type, &m);
	if (e)
		return err_wrap(e, "%s", digest_text(&d->digest, text));
	if (m.kind == MANIFEST_IMAGE)
		TRY(take_image(o, &m));
	else
		TRY(take_index(o, &m, depth));
	TRY(images_link_manifest(o->s, &d->digest, &m));
	map_set_c(o->taken, digest_text(&d->digest, text), o);
	return NULL;
}

static char *annotation_of(const struct descriptor *d, const char *key)
{
	AUTO_JSON json_t *a = d->annotations ? json_loads(d->annotations, 0, NULL) : NULL;
	return mem_strdup(json_string_value(json_object_get(a, key)));
}

/* What an entry of index.json is called there. NULL: it has no name. Caller frees. */
static char *ref_name_of(const struct descriptor *d)
{
	return annotation_of(d, ANNOTATION_REF_NAME);
}

/* The same, with the registry and repository where these are told. */
static void entry_name(const struct descriptor *d, char **out)
{
	*out = annotation_of(d, ANNOTATION_NAME);
	if (!*out)
		*out = ref_name_of(d);
}

static struct err *parse_own_name(const char *name, struct reference *out)
{
	const char *hint = "say what to call it";
	if (!name)
		return err_hint(
			err_new(ERR_INVALID, "the archive holds an image without a name"), "%s", hint);
	if (!strpbrk(name, "/:@"))
		return err_hint(err_new(ERR_INVALID, "the image is marked \"%s\", which is only a tag", name),
			"%s", hint);
	return reference_parse(name, true, out);
}

static struct err *take_entry(struct oci *o, const struct descriptor *d, struct vec *names)
{
	if (!media_type_is_manifest(d->media_type))
		return err_new(
			ERR_UNSUPPORTED, "index.json names a %s, which is not an image", d->media_type);
	AUTO_FREE char *own = NULL;
	AUTO(reference_fini) struct reference ref = {0};
	entry_name(d, &own);
	if (o->im->name)
		TRY(reference_parse(o->im->name, true, &ref));
	else
		TRY(parse_own_name(own, &ref));
	TRY(take_manifest(o, d, 0));
	import_add_name(names, &ref, d);
	return NULL;
}

/* The manifest of an entry, when the archive has it. */
static struct err *peek(struct oci *o, const struct descriptor *d, struct manifest *out, bool *there)
{
	AUTO_BUF struct buf bytes = {0};
	*there = false;
	if (!media_type_is_manifest(d->media_type))
		return NULL;
	TRY(ensure(o, d, true, there));
	if (!*there)
		return NULL;
	TRY(store_blob_read(o->s, &d->digest, MANIFEST_MAX, &bytes));
	return manifest_parse(buf_str(&bytes), d->media_type, out);
}

/* What is attached to an image, as index.json has it. */
struct candidate {
	const struct descriptor *d;
	struct digest subject;
	char *tag;
	size_t next; /* one more than the index of another of the same subject; 0: none */
};

/* What the entries of index.json are: some write every manifest there that they have. */
struct parts {
	struct vec children; /* of struct digest: what entries that are indexes name */
	struct vec images;   /* of struct descriptor, borrowed parts */
	struct vec attached; /* of struct candidate */
};

static void parts_fini(struct parts *p)
{
	for (size_t i = 0; i < p->attached.len; i++)
		mem_freep(&((struct candidate *)vec_at(&p->attached, i))->tag);
	vec_fini(&p->children);
	vec_fini(&p->images);
	vec_fini(&p->attached);
}

static struct err *list_children(struct oci *o, const struct manifest *index, struct vec *out)
{
	for (size_t i = 0; i < index->entries.len; i++) {
		const struct descriptor *d = vec_at(&index->entries, i);
		AUTO(manifest_fini) struct manifest m = {0};
		bool there = false;
		if (media_type_is_index(d->media_type))
			TRY(peek(o, d, &m, &there));
		for (size_t k = 0; k < m.entries.len; k++)
			vec_push_copy(out, &((const struct descriptor *)vec_at(&m.entries, k))->digest);
	}
	return NULL;
}

static bool is_child(const struct vec *children, const struct digest *d)
{
	for (size_t i = 0; i < children->len; i++)
		if (digest_eq(vec_at(children, i), d))
			return true;
	return false;
}

/* As lists of referrers show it. */
static void describe(const struct descriptor *d, const struct manifest *m, struct descriptor *out)
{
	*out = (struct descriptor){.digest = d->digest,
		.size = d->size,
		.annotations = mem_strdup(m->annotations),
		.artifact_type = mem_strdup(m->artifact_type)};
	memcpy(out->media_type, m->media_type, sizeof(out->media_type));
}

static void add_candidate(
	struct parts *parts, const struct descriptor *d, const struct digest *subject, const char *tag)
{
	struct candidate *c = vec_push(&parts->attached);
	*c = (struct candidate){.d = d, .subject = *subject, .tag = mem_strdup(tag)};
}

/* An image of its own, part of one, or attached to one: by its tag, or when it has no name, by its subject.
 */
static struct err *sort_entry(struct oci *o, const struct descriptor *d, struct parts *parts)
{
	AUTO_FREE char *own = NULL;
	AUTO(manifest_fini) struct manifest m = {0};
	struct digest subject;
	bool there = false;
	entry_name(d, &own);
	if (own && attached_tag_parse(own, &subject)) {
		add_candidate(parts, d, &subject, own);
		return NULL;
	}
	if (!own)
		TRY(peek(o, d, &m, &there));
	if (m.has_subject)
		add_candidate(parts, d, &m.subject.digest, NULL);
	else if (own || !is_child(&parts->children, &d->digest))
		vec_push_copy(&parts->images, d);
	return NULL;
}

static struct err *sort_entries(struct oci *o, const struct manifest *index, struct parts *parts)
{
	if (index->entries.len == 1) { /* then it is the image, whatever it is about */
		vec_push_copy(&parts->images, vec_at(&index->entries, 0));
		return NULL;
	}
	TRY(list_children(o, index, &parts->children));
	for (size_t i = 0; i < index->entries.len; i++)
		TRY(sort_entry(o, vec_at(&index->entries, i), parts));
	return NULL;
}

/* ---- which image ---- */

/* For a message: the names there are, of what has none the digest. Caller frees. */
static char *list_images(const struct parts *parts)
{
	AUTO_BUF struct buf text = {0};
	for (size_t i = 0; i < parts->images.len && i < LISTED_MAX; i++) {
		const struct descriptor *d = vec_at(&parts->images, i);
		char digest[DIGEST_TEXT_MAX];
		AUTO_FREE char *name = ref_name_of(d);
		if (name)
			cstr_make_visible(name);
		buf_adds(&text, i ? ", " : "");
		buf_adds(&text, name ? name : digest_text(&d->digest, digest));
	}
	if (parts->images.len > LISTED_MAX)
		buf_adds(&text, ", ...");
	return buf_steal(&text);
}

static struct err *several(const struct oci *o, const struct parts *parts)
{
	AUTO_FREE char *names = list_images(parts);
	if (o->im->choice)
		return err_hint(
			err_new(ERR_INVALID, "the layout holds several images, and one is meant: %s", names),
			"oci:DIR:NAME or oci:DIR@DIGEST says which");
	return err_hint(err_new(ERR_INVALID, "the archive holds several images, not one to be called %s: %s",
				o->im->name, names),
		"leave the name out to take them by the names in the archive");
}

static struct err *only_image(const struct oci *o, const struct parts *parts, struct descriptor *out)
{
	if (parts->images.len == 0)
		return err_new(ERR_INVALID, "index.json names no image");
	const struct descriptor *first = vec_at(&parts->images, 0);
	for (size_t i = 1; i < parts->images.len; i++) {
		const struct descriptor *d = vec_at(&parts->images, i);
		if (!digest_eq(&d->digest, &first->digest))
			return several(o, parts);
	}
	descriptor_copy(first, out);
	return NULL;
}

static struct err *no_such(const struct parts *parts, const char *wanted)
{
	AUTO_FREE char *names = list_images(parts);
	return err_hint(err_new(ERR_NOT_FOUND, "the layout holds no image %s", wanted), "it holds %s",
		*names ? names : "none");
}

static struct err *image_by_name(
	const struct manifest *index, const struct parts *parts, const char *want, struct descriptor *out)
{
	const struct descriptor *found = NULL;
	for (size_t i = 0; i < index->entries.len; i++) {
		const struct descriptor *d = vec_at(&index->entries, i);
		AUTO_FREE char *name = ref_name_of(d);
		if (!cstr_eq(name, want))
			continue;
		if (found && !digest_eq(&found->digest, &d->digest)) {
			char one[DIGEST_TEXT_MAX], two[DIGEST_TEXT_MAX];
			return err_hint(
				err_new(ERR_INVALID, "the layout calls several images %s: %s, %s", want,
					digest_text(&found->digest, one), digest_text(&d->digest, two)),
				"oci:DIR@DIGEST says which");
		}
		found = d;
	}
	if (!found)
		return no_such(parts, want);
	descriptor_copy(found, out);
	return NULL;
}

/* In the index or in those it names; seen: indexes that were looked through. */
static struct err *find_digest(struct oci *o, const struct manifest *index, const struct digest *want,
	struct map *seen, int depth, struct descriptor *out)
{
	for (size_t i = 0; i < index->entries.len; i++) {
		const struct descriptor *d = vec_at(&index->entries, i);
		if (!digest_eq(&d->digest, want))
			continue;
		descriptor_copy(d, out);
		return NULL;
	}
	for (size_t i = 0; i < index->entries.len && !digest_is_set(&out->digest); i++) {
		const struct descriptor *d = vec_at(&index->entries, i);
		AUTO(manifest_fini) struct manifest m = {0};
		char text[DIGEST_TEXT_MAX];
		bool there = false;
		if (!media_type_is_index(d->media_type) ||
			map_has(seen, str_c(digest_text(&d->digest, text))))
			continue;
		if (map_len(seen) >= INDEXES_MAX)
			return err_new(ERR_INVALID, "the layout holds more than %d indexes", INDEXES_MAX);
		map_set_c(seen, text, seen);
		TRY(peek(o, d, &m, &there));
		if (m.kind == MANIFEST_INDEX && depth < INDEX_DEPTH_MAX)
			TRY(find_digest(o, &m, want, seen, depth + 1, out));
	}
	return NULL;
}

static struct err *image_by_digest(struct oci *o, const struct manifest *index, const struct parts *parts,
	const struct digest *want, struct descriptor *out)
{
	AUTO(map_freep) struct map *seen = map_new(NULL);
	char text[DIGEST_TEXT_MAX];
	TRY(find_digest(o, index, want, seen, 0, out));
	return digest_is_set(&out->digest) ? NULL : no_such(parts, digest_text(want, text));
}

static struct err *choose(
	struct oci *o, const struct manifest *index, const struct parts *parts, struct descriptor *out)
{
	const struct image_choice *c = o->im->choice;
	if (c && c->ref_name)
		return image_by_name(index, parts, c->ref_name, out);
	if (c && digest_is_set(&c->digest))
		return image_by_digest(o, index, parts, &c->digest, out);
	return only_image(o, parts, out);
}

/* ---- all of it ---- */

static struct err *take_candidate(struct oci *o, const struct candidate *c)
{
	AUTO(manifest_fini) struct manifest m = {0};
	bool there = false;
	TRY(take_manifest(o, c->d, 0));
	TRY(peek(o, c->d, &m, &there));
	struct attached *a = vec_push(o->im->attached);
	*a = (struct attached){.subject = c->subject, .tag = mem_strdup(c->tag)};
	describe(c->d, &m, &a->manifest);
	return NULL;
}

/* What is about the manifests that were taken, and about that, and so on. */
static struct err *take_attached(struct oci *o, struct parts *parts)
{
	AUTO(map_freep)
	struct map *about = map_new(NULL); /* subject -> one more than the place of the first */
	char text[DIGEST_TEXT_MAX];
	for (size_t i = parts->attached.len; i-- > 0;) {
		struct candidate *c = vec_at(&parts->attached, i);
		digest_text(&c->subject, text);
		c->next = (uintptr_t)map_get_c(about, text);
		map_set_c(about, text, (void *)(uintptr_t)(i + 1));
	}
	size_t at = 0;
	struct str taken;
	void *value;
	while (map_next(o->taken, &at, &taken, &value)) {
		size_t n = (uintptr_t)map_get(about, taken);
		while (n) {
			const struct candidate *c = vec_at(&parts->attached, n - 1);
			TRY(take_candidate(o, c));
			n = c->next;
		}
	}
	return NULL;
}

static struct err *take_chosen(
	struct oci *o, const struct manifest *index, struct parts *parts, struct vec *names)
{
	AUTO(descriptor_fini) struct descriptor chosen = {0};
	TRY(choose(o, index, parts, &chosen));
	TRY(take_entry(o, &chosen, names));
	return o->im->attached ? take_attached(o, parts) : NULL;
}

static struct err *take_named(struct oci *o, const struct parts *parts, struct vec *names)
{
	if (parts->images.len == 0)
		return err_new(ERR_INVALID, "index.json names no image");
	for (size_t i = 0; i < parts->images.len; i++)
		TRY(take_entry(o, vec_at(&parts->images, i), names));
	return NULL;
}

static struct err *take_all(struct oci *o, struct str index_json, struct vec *names)
{
	AUTO(manifest_fini) struct manifest index = {0};
	AUTO(parts_fini)
	struct parts parts = {
		.children = VEC_OF(struct digest),
		.images = VEC_OF(struct descriptor),
		.attached = VEC_OF(struct candidate),
	};
	AUTO(map_freep) struct map *taken = map_new(NULL);
	struct err *e = manifest_parse(index_json, MEDIA_OCI_INDEX, &index);
	if (e)
		return err_wrap(e, "index.json");
	o->taken = taken;
	TRY(sort_entries(o, &index, &parts));
	return o->im->name ? take_chosen(o, &index, &parts, names) : take_named(o, &parts, names);
}

/* blobs/<algorithm>/<hex> or not a blob. */
static bool blob_of_path(const char *path, struct digest *out)
{
	if (!cstr_starts(path, "blobs/"))
		return false;
	AUTO_FREE char *text = mem_strdup(path + strlen("blobs/"));
	char *slash = strchr(text, '/');
	if (!slash)
		return false;
	*slash = ':';
	if (!digest_valid(str_c(text)))
		return false;
	struct err *e = digest_parse(str_c(text), out);
	err_ignore(e, "it was found valid just before");
	return !e;
}

static struct err *take_blob(void *ctx, struct tar_reader *r, const struct tar_entry *e)
{
	struct oci *o = ctx;
	TRY(cancel_check(o->im->cancel));
	AUTO_FREE char *path = path_rooted(e->path);
	struct digest d;
	if (!S_ISREG(e->mode) || e->hardlink || !blob_of_path(path, &d))
		return NULL;
	int64_t size = -1;
	TRY(store_blob_stat(o->s, &d, &size));
	if (size >= 0)
		return NULL;
	struct err *err = store_from(o->s, import_entry_source, r, &d, o->im->cancel);
	return err ? err_wrap(err, "%s", e->path) : NULL;
}

struct err *import_oci_archive(struct store *s, const struct image_import *im, struct import_file *f,
	const struct import_scan *scan, struct vec *names)
{
	struct oci o = {.s = s, .im = im, .dirfd = -1};
	TRY(import_file_rewind(f));
	TRY(tar_each(import_file_read, f, NULL, take_blob, &o));
	return take_all(&o, buf_str(&scan->index), names);
}

struct err *import_oci_dir(struct store *s, const struct image_import *im, int dirfd, struct vec *names)
{
	struct oci o = {.s = s, .im = im, .dirfd = dirfd};
	AUTO_FD int fd = -1;
	struct err *e = root_open(dirfd, "index.json", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd);
	if (e)
		return err_hint(err_wrap(e, "not an OCI image layout"),
			"a layout directory holds oci-layout, index.json and blobs/");
	AUTO_BUF struct buf index = {0};
	TRY(fd_read_all(fd, MANIFEST_MAX, "index.json", &index));
	return take_all(&o, buf_str(&index), names);
}
