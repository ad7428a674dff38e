/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/path.h"
#include "remote/auth_internal.h"
#include "sys/file.h"

#include <fcntl.h>
#include <stdlib.h>

static const char *key_of(const char *registry)
{
	return cstr_eq(registry, "docker.io") ? "https://index.docker.io/v1/" : registry;
}

/* The file itself where path is a link to it, as those have who keep their settings elsewhere. Caller frees.
 */
static char *real_path(const char *path)
{
	char *real = realpath(path, NULL);
	return real ? real : mem_strdup(path);
}

/* Held from reading to writing, by the folder of the file, or logins at the same time lose each other's
 * entries. Closing *fd lets it go. */
static struct err *lock_place(const struct auth_place *place, int *fd)
{
	AUTO_FREE char *real = real_path(place->path);
	AUTO_FREE char *dir = path_dir(real);
	TRY(dir_make_all(AT_FDCWD, dir, 0700));
	TRY(file_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, fd));
	dir_lock(*fd);
	return NULL;
}

static struct err *write_doc(const struct auth_place *place, const json_t *doc)
{
	AUTO_FREE char *real = real_path(place->path);
	AUTO_FREE char *text = json_dump_pretty(place->legacy ? json_object_get(doc, "auths") : doc);
	AUTO_FREE char *line = mem_printf("%s\n", text);
	return file_replace(AT_FDCWD, real, line, str_c(line).len, 0600, true);
}

/* Entries for exactly this registry, under any spelling of it. */
static bool drop_entries(json_t *auths, const char *registry, bool remove)
{
	bool found = false;
	const char *key;
	json_t *value;
	void *next;
	json_object_foreach_safe(auths, next, key, value)
	{
		AUTO_FREE char *name = auth_key_name(key);
		if (!cstr_eq(name, registry))
			continue;
		found = true;
		if (remove)
			json_object_del(auths, key);
	}
	return found;
}

static struct err *has_entry(const struct auth_place *place, const char *registry, bool *out)
{
	AUTO_JSON json_t *doc = NULL;
	json_t *auths = NULL, *helpers = NULL;
	TRY(auth_read(place, &doc));
	TRY(json_get_object(doc, "auths", place->path, &auths));
	TRY(json_get_object(doc, "credHelpers", place->path, &helpers));
	*out = drop_entries(auths, registry, false) || drop_entries(helpers, registry, false);
	return NULL;
}

static struct err *choose_place(
	const struct vec *places, size_t fallback, const char *registry, const struct auth_place **out)
{
	for (size_t i = 0; i < places->len; i++) {
		bool there = false;
		TRY(has_entry(vec_at(places, i), registry, &there));
		if (there) {
			*out = vec_at(places, i);
			return NULL;
		}
	}
	*out = vec_at(places, fallback);
	return NULL;
}

static struct err *put_entry(
	json_t *doc, const char *path, const char *registry, const char *user, const char *password)
{
	json_t *auths = NULL;
	TRY(json_get_object(doc, "auths", path, &auths));
	if (!auths) {
		auths = json_object();
		json_object_set_new(doc, "auths", auths);
	}
	(void)drop_entries(auths, registry, true);
	AUTO_FREE char *pair = mem_printf("%s:%s", user, password);
	AUTO_BUF struct buf text = {0};
	base64_add(&text, str_c(pair));
	json_t *entry = json_object();
	json_set_text(entry, "auth", buf_cstr(&text));
	json_object_set_new(auths, key_of(registry), entry);
	return NULL;
}

static struct err *add_entry(
	const struct auth_place *place, const char *registry, const char *user, const char *password)
{
	AUTO_JSON json_t *doc = NULL;
	AUTO_FD int lock = -1;
	TRY(lock_place(place, &lock));
	TRY(auth_read(place, &doc));
	if (!doc)
		doc = json_object();
	TRY(put_entry(doc, place->path, registry, user, password));
	return write_doc(place, doc);
}

struct err *auth_store(const char *file, const char *registry, const char *user, const char *password,
	const struct cancel *cancel, char **where)
{
	AUTO(auth_places_fini) struct vec places = VEC_OF(struct auth_place);
	size_t fallback;
	const struct auth_place *place;
	auth_places(file, &places, &fallback);
	TRY(choose_place(&places, fallback, registry, &place));
	AUTO_JSON json_t *doc = NULL;
	AUTO_FREE char *helper = NULL;
	TRY(auth_read(place, &doc));
	TRY(auth_helper_name(doc, place->path, registry, &helper));
	if (*helper) {
		TRY(helper_store(helper, registry, user, password, cancel));
		*where = mem_printf("docker-credential-%s", helper);
		return NULL;
	}
	struct err *e = add_entry(place, registry, user, password);
	if (e)
		return err_wrap(e, "writing credentials");
	*where = mem_strdup(place->path);
	return NULL;
}

static struct err *drop_entry(const struct auth_place *place, const char *registry, bool *was_there)
{
	AUTO_JSON json_t *doc = NULL;
	AUTO_FD int lock = -1;
	json_t *auths = NULL;
	TRY(lock_place(place, &lock));
	TRY(auth_read(place, &doc));
	if (!doc)
		return NULL;
	TRY(json_get_object(doc, "auths", place->path, &auths));
	if (!drop_entries(auths, registry, true))
		return NULL;
	*was_there = true;
	return write_doc(place, doc);
}

static struct err *erase_in(
	const struct auth_place *place, const char *registry, const struct cancel *cancel, bool *was_there)
{
	AUTO_JSON json_t *doc = NULL;
	AUTO_FREE char *helper = NULL;
	json_t *auths = NULL;
	TRY(auth_read(place, &doc));
	if (!doc)
		return NULL;
	TRY(auth_helper_name(doc, place->path, registry, &helper));
	if (*helper) {
		enum helper_verdict verdict;
		TRY(helper_erase(helper, registry, cancel, &verdict));
		*was_there |= verdict == HELPER_OK;
	}
	TRY(json_get_object(doc, "auths", place->path, &auths));
	if (!drop_entries(auths, registry, false))
		return NULL;
	struct err *e = drop_entry(place, registry, was_there);
	return e ? err_wrap(e, "writing credentials") : NULL;
}

struct err *auth_erase(const char *file, const char *registry, const struct cancel *cancel, bool *was_there)
{
	AUTO(auth_places_fini) struct vec places = VEC_OF(struct auth_place);
	size_t fallback;
	bool found = false;
	auth_places(file, &places, &fallback);
	for (size_t i = 0; i < places.len; i++) {
		struct err *e = erase_in(vec_at(&places, i), registry, cancel, &found);
		if (e)
			return err_wrap(e, "removing credentials of %s", registry);
	}
	*was_there = found;
	return NULL;
}
