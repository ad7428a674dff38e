/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include "base/mem.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

struct entry {
	char *key; /* NULL: removed */
	size_t key_len;
	uint64_t hash;
	void *value;
};

/*
 * Entries stand in order of insertion; removed ones leave a hole until the table is rebuilt. Slots hold
 * the index of an entry plus one, 0 for free; a power of two of them, probed linearly, at most half used.
 */
struct map {
	struct entry *entries;
	size_t used; /* entries, with holes */
	size_t cap;
	size_t len; /* entries, without */
	uint32_t *slots;
	size_t slot_count;
	void (*free_value)(void *);
};

struct map *map_new(void (*free_value)(void *))
{
	struct map *m = mem_new(struct map);
	m->free_value = free_value;
	return m;
}

static void entry_fini(const struct map *m, struct entry *e)
{
	if (!e->key)
		return;
	free(e->key);
	if (m->free_value && e->value)
		m->free_value(e->value);
	*e = (struct entry){0};
}

void map_free(struct map *m)
{
	if (!m)
		return;
	int saved = errno;
	for (size_t i = 0; i < m->used; i++)
		entry_fini(m, &m->entries[i]);
	free(m->entries);
	free(m->slots);
	free(m);
	errno = saved;
}

void map_freep(struct map **m)
{
	map_free(*m);
	*m = NULL;
}

/* Differs from process to process, so that a peer cannot choose keys that collide. */
static uint64_t hash_seed(void)
{
	uint64_t seed = 0;
	const void *random = (const void *)getauxval(AT_RANDOM);
	if (random)
		memcpy(&seed, random, sizeof(seed));
	return seed;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

static uint64_t hash_of(struct str key)
{
	uint64_t h = hash_seed() ^ key.len * UINT64_C(0x9e3779b97f4a7c15);
	while (key.len > 0) {
		uint64_t word = 0;
		size_t n = key.len < sizeof(word) ? key.len : sizeof(word);
		memcpy(&word, key.ptr, n);
		h = mix(h ^ word);
		key = str_skip(key, n);
	}
	return mix(h);
}

/* The slot that holds key, or the free one where it belongs. Needs slots. */
static uint32_t *find_slot(const struct map *m, struct str key, uint64_t hash)
{
	for (size_t i = hash & (m->slot_count - 1);; i = (i + 1) & (m->slot_count - 1)) {
		uint32_t *slot = &m->slots[i];
		if (*slot == 0)
			return slot;
		const struct entry *e = &m->entries[*slot - 1];
		if (e->key && e->hash == hash && str_eq(str_n(e->key, e->key_len), key))
			return slot;
	}
}

static struct entry *find(const struct map *m, struct str key)
{
	if (m->len == 0)
		return NULL;
	uint32_t *slot = find_slot(m, key, hash_of(key));
	return *slot ? &m->entries[*slot - 1] : NULL;
}

/* Close the holes and make room for more entries. */
static void rebuild(struct map *m)
{
	size_t kept = 0;
	for (size_t i = 0; i < m->used; i++)
		if (m->entries[i].key)
			m->entries[kept++] = m->entries[i];
	m->used = kept;
	size_t cap = 8;
	while (cap < kept * 2)
		cap *= 2;
	m->entries = mem_realloc(m->entries, cap, sizeof(*m->entries));
	m->cap = cap;
	free(m->slots);
	m->slot_count = cap * 2;
	m->slots = mem_array(m->slot_count, sizeof(*m->slots));
	for (size_t i = 0; i < kept; i++) {
		const struct entry *e = &m->entries[i];
		size_t at = e->hash & (m->slot_count - 1);
		while (m->slots[at])
			at = (at + 1) & (m->slot_count - 1);
		m->slots[at] = (uint32_t)i + 1;
	}
}

void *map_get(const struct map *m, struct str key)
{
	const struct entry *e = find(m, key);
	return e ? e->value : NULL;
}

void *map_get_c(const struct map *m, const char *key)
{
	return map_get(m, str_c(key));
}

bool map_has(const struct map *m, struct str key)
{
	return find(m, key) != NULL;
}

void map_set(struct map *m, struct str key, void *value)
{
	struct entry *e = find(m, key);
	if (e) {
		void *old = e->value;
		e->value = value;
		if (m->free_value && old && old != value)
			m->free_value(old);
		return;
	}
	if (m->used == m->cap)
		rebuild(m);
	uint64_t hash = hash_of(key);
	uint32_t *slot = find_slot(m, key, hash);
	m->entries[m->used++] = (struct entry){
		.key = mem_strndup(key.ptr, key.len),
		.key_len = key.len,
		.hash = hash,
		.value = value,
	};
	*slot = (uint32_t)m->used;
	m->len++;
}

void map_set_c(struct map *m, const char *key, void *value)
{
	map_set(m, str_c(key), value);
}

bool map_remove(struct map *m, struct str key)
{
	struct entry *e = find(m, key);
	if (!e)
		return false;
	/* Its slot keeps pointing at the hole, so that probing goes on behind it. */
	entry_fini(m, e);
	m->len--;
	return true;
}

size_t map_len(const struct map *m)
{
	return m->len;
}

bool map_next(const struct map *m, size_t *i, struct str *key, void **value)
{
	while (*i < m->used) {
		const struct entry *e = &m->entries[(*i)++];
		if (!e->key)
			continue;
		if (key)
			*key = str_n(e->key, e->key_len);
		if (value)
			*value = e->value;
		return true;
	}
	return false;
}
