/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reading, finding and editing of manifests share: YAML as a tree whose scalars know their bytes, and
 * pins that know theirs. Trees and places live in an arena.
 */
#pragma once

#include "base/arena.h"
#include "repo/manifests.h"

#define MANIFEST_MAX_BYTES (8u << 20)
#define MANIFEST_SENTINEL "kustomized" /* the tag of an image that a kustomization is to set */

enum manifest_kind { MANIFEST_SCALAR, MANIFEST_LIST, MANIFEST_MAP, MANIFEST_ALIAS };
enum manifest_style { MANIFEST_PLAIN, MANIFEST_SINGLE, MANIFEST_DOUBLE, MANIFEST_BLOCK };

struct manifest_node {
	enum manifest_kind kind;
	enum manifest_style style;
	const char *text;                     /* of a SCALAR its value; the name of an ALIAS */
	const char *anchor;                   /* NULL: none */
	const char *type;                     /* an explicit YAML tag ("tag:yaml.org,2002:str"); NULL: none */
	bool aliased;                         /* some alias repeats it */
	bool twice;                           /* a key that stands in its map before or after */
	uint32_t line, column;                /* from 1 */
	size_t begin, end;                    /* bytes of the text of the file, quotes included */
	size_t count;                         /* of items or pairs */
	struct manifest_node **items, **keys; /* as in yaml_node; a key may be of any kind */
	const struct manifest_node *target;   /* of an ALIAS */
};

/*
 * Every document of the text, in order: vec of struct manifest_node *. Aliases, merge keys and keys that
 * stand twice are kept. ERR_INVALID "path:line:column: ...".
 */
MUST_USE struct err *manifest_yaml_parse(
	struct arena *a, struct str text, const char *path, struct vec *documents);
/* An alias stands for its target. */
const struct manifest_node *manifest_resolve(const struct manifest_node *n);
/* The value of a key, NULL if absent: merge keys are followed, then *merged is set. */
const struct manifest_node *manifest_get(const struct manifest_node *map, const char *key, bool *merged);
/* Its text, when it is a scalar or an alias of one; else NULL. */
const char *manifest_text(const struct manifest_node *n);
/* Is this, without quotes, a text to every reader of YAML (1.1, 1.2), and no number, date, truth value, null?
 */
bool manifest_plain_is_text(struct str s);

/* "name[:tag][@digest]" cut apart; parts that are absent have ptr NULL. */
struct image_parts {
	struct str name, tag, digest;
};
void image_split(struct str text, struct image_parts *out);
bool image_tag_valid(struct str s);
bool image_digest_valid(struct str s); /* sha256 */
/* What is wrong with the parts of an image below prefix; NULL if nothing is. */
const char *image_fault(const char *prefix, const struct image_parts *p);

/* A part of a scalar that an edit replaces; node NULL: there is none. */
struct manifest_slot {
	const struct manifest_node *node;
	size_t begin;  /* bytes of the file */
	size_t offset; /* of the scalar's value */
	size_t len;    /* of both, as they are equal */
};
struct found_pin {
	struct pin pin;
	struct manifest_slot tag, digest;
	bool untagged; /* neither tag nor digest: a kustomization may set them */
	bool reached;  /* kustomize would set the tag of such an image */
};
/* An image whose tag a kustomization is to set. */
struct sentinel {
	char *file, *image;
	uint32_t line;
	bool reached;
};
/* What a kustomization says about images, and what it is made of. */
struct kustomization {
	char *file;
	struct strvec names; /* of its images entries that set a tag or a digest */
	struct strvec parts; /* resources and bases: relative to its folder, as written */
	struct strvec components;
	bool own_fields; /* it tells kustomize where else images stand */
};

struct finding {
	struct arena *arena;
	struct str text;
	const char *path, *service, *prefix;
	struct vec documents;      /* of struct manifest_node *; empty if the text is broken */
	struct vec pins;           /* of struct found_pin */
	struct vec sentinels;      /* of struct sentinel */
	struct vec kustomizations; /* of struct kustomization */
	struct vec problems;       /* of struct manifest_problem */
	uint32_t document;         /* at hand */
};
void finding_init(
	struct finding *f, struct str text, const char *path, const char *service, const char *prefix);
void finding_fini(struct finding *f);
/* Everything of the text. A broken text is a problem. */
void manifest_find(struct finding *f);

/* The images entries of one list; why: what is wrong with all of them, or NULL. */
void find_kustomize_images(struct finding *f, const struct manifest_node *list, const char *why);
/* What the kustomization of a file says, without its pins. */
void find_kustomization(struct finding *f, const struct manifest_node *root);

/* Where an image was found. */
struct image_place {
	enum pin_form form;
	const char *why; /* it can be neither trusted nor changed, whatever it holds; NULL */
	bool reached;
};
/* A scalar that is one whole image. */
void find_image(struct finding *f, const struct manifest_node *n, const struct image_place *at);
/* An image in parts: name is complete, tag and digest may be NULL. */
struct image_fields {
	const char *name;
	const struct manifest_node *at; /* for the place of a pin without tag and digest */
	const struct manifest_node *tag, *digest;
};
void find_image_fields(struct finding *f, const struct image_fields *p, const struct image_place *at);
/* Images named anywhere in a text. */
void find_in_text(struct finding *f, const struct manifest_node *n, const char *why);
/* For both: a new pin that stands at n, without tag and digest slots; its grammar is checked last. */
struct found_pin *found_pin_new(struct finding *f, const struct manifest_node *n,
	const struct image_parts *parts, const struct image_place *at);
void found_pin_problem(struct found_pin *p, const char *text); /* the first one counts; NULL: none */
/* The same of one that only stands against changes; a real problem counts before it. */
void found_pin_fixed(struct found_pin *p, const char *text);
void found_pin_check(struct finding *f, struct found_pin *p, const struct image_parts *parts);
/* Why the bytes of a scalar cannot be changed; NULL if they can. */
const char *scalar_why_fixed(struct finding *f, const struct manifest_node *n);
void finding_problem(struct finding *f, uint32_t line, const char *fmt, ...) PRINTF(3, 4);

/* Judge sentinels and images without tag by the kustomizations: what they miss goes to problems. */
void judge_sentinels(struct finding *f);
