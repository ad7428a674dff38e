/* SPDX-License-Identifier: Apache-2.0 */
/* docker-archives that are read once: what a member is has to be told by its first bytes. */
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "oci/docker_archive_internal.h"

#include <string.h>
#include <sys/stat.h>

/* An image has at most some hundred layers, of a few members each. */
#define MEMBERS_MAX 20000
/* Of all documents together: nothing tells yet which one is the config. */
#define DOCUMENTS_MAX (64u << 20)
#define PEEK 512u

struct stream {
	struct docker_archive archive;
	const struct image_stream *in;
	struct map *links;
	struct decompressor *plain;
	/* before its first member, to tell the codec */
	uint8_t first[8];
	size_t first_len, first_at;
	size_t documents; /* bytes */
	bool oci_layout;
};

static void stream_fini(struct stream *st)
{
	decompressor_free(st->plain);
	map_free(st->links);
	map_free(st->archive.members);
}

/* ---- bytes ---- */

static struct err *raw(void *ctx, void *p, size_t *len)
{
	struct stream *st = ctx;
	size_t left = st->first_len - st->first_at;
	TRY(cancel_check(st->in->cancel));
	if (left == 0)
		return st->in->source(st->in->ctx, p, len);
	if (*len > left)
		*len = left;
	memcpy(p, st->first + st->first_at, *len);
	st->first_at += *len;
	return NULL;
}

static struct err *plain(void *ctx, void *p, size_t *len)
{
	struct stream *st = ctx;
	return st->plain ? decompressor_read(st->plain, p, len) : raw(st, p, len);
}

static struct err *open_plain(struct stream *st)
{
	while (st->first_len < sizeof(st->first)) {
		size_t n = sizeof(st->first) - st->first_len;
		TRY(st->in->source(st->in->ctx, st->first + st->first_len, &n));
		if (n == 0)
			break;
		st->first_len += n;
	}
	if (st->first_len == 0)
		return err_new(ERR_INVALID, "there is no archive but nothing at all");
	if (codec_detect(st->first, st->first_len) == CODEC_NONE)
		return NULL;
	return decompressor_new(raw, st, IMPORT_BYTES_MAX, NULL, &st->plain);
}

/* ---- members ---- */

/* The digest that a member's path says it has: "<hex>/layer.tar", "<hex>.tar", "blobs/sha256/<hex>". */
static bool claimed_digest(const char *path, struct digest *out)
{
	struct str name = str_c(path);
	if (str_ends(name, "/layer.tar"))
		name.len -= strlen("/layer.tar");
	else if (str_ends(name, ".tar"))
		name.len -= strlen(".tar");
	name = str_skip(name, (size_t)(str_rindex(name, '/') + 1));
	AUTO_FREE char *text = mem_printf("sha256:" STR_FMT, STR_ARG(name));
	if (!digest_valid(str_c(text)))
		return false;
	err_ignore(digest_parse(str_c(text), out), "it is valid");
	return true;
}

/* The data of a member, from which some was read already. */
struct member_source {
	struct tar_reader *r;
	uint8_t first[PEEK];
	size_t len, at;
};

static struct err *member_peek(struct member_source *m)
{
	while (m->len < PEEK) {
		size_t n = PEEK - m->len;
		TRY(tar_entry_read(m->r, m->first + m->len, &n));
		if (n == 0)
			break;
		m->len += n;
	}
	return NULL;
}

static struct err *member_read(void *ctx, void *p, size_t *len)
{
	struct member_source *m = ctx;
	size_t left = m->len - m->at;
	if (left == 0)
		return tar_entry_read(m->r, p, len);
	if (*len > left)
		*len = left;
	memcpy(p, m->first + m->at, *len);
	m->at += *len;
	return NULL;
}

/* Layers of some writers are empty: a tar that is all end marker. No document begins like any of these. */
static bool is_layer(const struct member_source *m)
{
	static const uint8_t zeros[PEEK];
	return codec_detect(m->first, m->len) != CODEC_NONE || tar_looks_like(m->first, m->len) ||
	       (m->len == PEEK && memcmp(m->first, zeros, PEEK) == 0);
}

static struct err *take_document(
	struct stream *st, struct member_source *src, const struct tar_entry *e, struct docker_member *m)
{
	if (e->size > CONFIG_MAX || st->documents + e->size > DOCUMENTS_MAX)
		return err_new(ERR_INVALID, "\"%s\" is no layer, and too large for a document", e->path);
	TRY(docker_take_document(member_read, src, m));
	st->documents += m->bytes.len;
	return NULL;
}

static struct err *take_file(
	struct stream *st, struct tar_reader *r, const struct tar_entry *e, const char *path)
{
	struct member_source src = {.r = r};
	struct digest claimed;
	if (map_get_c(st->archive.members, path))
		return err_new(ERR_INVALID, "the archive holds \"%s\" twice", e->path);
	struct docker_member *m = mem_new(struct docker_member);
	map_set_c(st->archive.members, path, m);
	TRY(member_peek(&src));
	m->done = true;
	m->layer = is_layer(&src);
	if (!m->layer)
		return take_document(st, &src, e, m);
	const struct digest *claim = claimed_digest(path, &claimed) ? &claimed : NULL;
	return docker_take_layer(&st->archive, member_read, &src, e->path, claim, m);
}

static struct err *take_member(void *ctx, struct tar_reader *r, const struct tar_entry *e)
{
	struct stream *st = ctx;
	AUTO_FREE char *path = path_rooted(e->path);
	TRY(cancel_check(st->in->cancel));
	if (import_is_rootfs_member(path))
		return err_hint(err_new(ERR_INVALID,
					"it is a root file system (it holds \"%s\"), not an image", e->path),
			"an image's archive holds layers and a manifest.json");
	if (cstr_eq(path, "oci-layout"))
		st->oci_layout = true;
	if (e->link)
		return import_keep_link(st->links, path, e);
	return S_ISREG(e->mode) ? take_file(st, r, e, path) : NULL;
}

/* ---- the image ---- */

static struct err *no_manifest(const struct stream *st)
{
	if (st->oci_layout)
		return err_hint(
			err_new(ERR_UNSUPPORTED, "it is an OCI archive, which cannot be read in one go"),
			"save it to a file and use: cooper image import FILE");
	return err_new(ERR_INVALID, "it is not a docker-archive: there is no manifest.json in it");
}

static struct err *the_image(const struct stream *st, struct descriptor *out)
{
	const struct docker_member *m = map_get_c(st->archive.members, "manifest.json");
	AUTO_JSON json_t *list = NULL;
	if (!m || m->layer)
		return no_manifest(st);
	TRY(json_parse(buf_str(&m->bytes), "manifest.json", &list));
	if (!import_is_docker_manifest(buf_str(&m->bytes)))
		return err_new(ERR_INVALID, "manifest.json is not that of a docker-archive");
	if (json_array_size(list) != 1)
		return err_new(ERR_INVALID, "the archive holds %zu images, not one", json_array_size(list));
	return docker_put_image(&st->archive, json_array_get(list, 0), out);
}

struct err *images_import_stream(struct store *s, const struct image_stream *in, struct descriptor *manifest)
{
	const struct tar_limits limits = {.max_bytes = IMPORT_BYTES_MAX, .max_entries = MEMBERS_MAX};
	AUTO(stream_fini) struct stream st = {.in = in, .links = map_new(free)};
	st.archive = (struct docker_archive){
		.s = s,
		.cancel = in->cancel,
		.links = st.links,
		.members = docker_members(),
		.edit = in->edit,
		.edit_ctx = in->edit_ctx,
	};
	TRY(open_plain(&st));
	TRY(tar_each(plain, &st, &limits, take_member, &st));
	return the_image(&st, manifest);
}
