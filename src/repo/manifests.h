/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images that the cluster's manifests name: found with their place, and changed byte by byte. Nothing is ever
 * parsed and printed again: an edit replaces the bytes of one scalar, and is refused unless reading the
 * result back shows that the pin is all that changed.
 *
 * Only images below a prefix ("registry/namespace/") are pins; all others are upstream's. Input is hostile
 * (it comes from pull requests): bounded, and names are checked by grammar before anybody makes a URL of
 * them. Threads: any, on separate values.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/vec.h"
#include "repo/repo.h"

#include <stdbool.h>
#include <stdint.h>

enum pin_form {
	PIN_KUSTOMIZATION, /* images: entry of a kustomization */
	PIN_IMAGE,         /* image: of a container of a pod */
	PIN_CRD,           /* any other image: or imageName: at any depth, also {repo, tag} */
	PIN_HELM,          /* image: {registry?, repository, tag} or "r:t" of chart values */
	PIN_ENV,           /* inside a text of env or args: reported, changed only when asked to */
};
const char *pin_form_name(enum pin_form f); /* "kustomization", "image", "crd", "helm", "env" */

struct pin {
	char *file;    /* relative to the repository */
	char *service; /* first folder below the manifests root: "grafana"; "" for a file right in it */
	/* Of the scalar that holds the tag (or the digest), from 1; in a block of text of the line that does.
	 */
	uint32_t line, column;
	uint32_t document; /* of the file, from 0 */
	size_t offset;     /* of the tag (or the digest) in the bytes of the file */
	enum pin_form form;
	char *image;  /* "registry/namespace/name", without tag and digest */
	char *name;   /* of the container: what follows the prefix; borrowed from nobody */
	char *tag;    /* NULL: none */
	char *digest; /* "sha256:..."; NULL: none */
	/* Why it can be neither trusted nor changed (alias, block scalar, bad grammar, non-string): NULL if
	 * it can. The text names file and line. */
	char *problem;
	bool repairable; /* a change makes the problem go away: a number where a text must be */
	bool readable;   /* with a problem: what is named is certain all the same, only changing it is refused
			  */
};
void pin_fini(struct pin *p);

struct manifest_problem {
	char *file;
	uint32_t line; /* 0: the whole file */
	char *text;
	bool sentinel; /* it is about an image that nothing gives a tag */
};

struct manifest_scan {
	struct vec pins; /* of struct pin, by file (bytewise) and line */
	struct vec
		problems; /* of struct manifest_problem: malformed YAML, a sentinel without its entry, ... */
};
void manifest_scan_fini(struct manifest_scan *s);

/*
 * All manifests of the work tree (c NULL) or of a commit. prefix: "127.0.0.1:5000/homelab/". A broken file is
 * a problem of the scan, not an error.
 */
MUST_USE struct err *manifests_scan(struct repo *r, const struct repo_config *cfg, const struct commit *c,
	const char *prefix, struct manifest_scan *out);
/* The same of one file's text; adds to out, which may be zeroed. Sentinels are not judged, as that takes the
 * whole folder. */
MUST_USE struct err *manifest_scan_text(struct str text, const char *path, const char *service,
	const char *prefix, struct manifest_scan *out);

struct pin_change {
	const struct pin *pin; /* of a scan of this very text */
	const char *tag;       /* the new one */
	const char *digest;    /* the new image's; used where the pin has a digest (NULL there: refused) */
	bool env;              /* a PIN_ENV may be changed */
};
/* text with all changes made, appended to out. ERR_INVALID (file:line) when one is refused: then nothing is
 * appended. */
MUST_USE struct err *manifest_edit(struct str text, const char *path, const char *prefix,
	const struct pin_change *changes, size_t count, struct buf *out);
/* What changes would make of the files of the work tree, each once, in order of the changes: nothing is
 * written. fn: borrowed texts; its error ends it. */
typedef struct err *manifest_edited_fn(void *ctx, const char *file, struct str before, struct str after);
MUST_USE struct err *manifests_edit(struct repo *r, const char *prefix, const struct pin_change *changes,
	size_t count, manifest_edited_fn *fn, void *ctx);
/* Write changes into the work tree, each file atomically and with its mode; files that do not change are not
 * written. All new texts are on disk before the first takes its place: a refusal, a full disk, or a file that
 * somebody changes meanwhile leave everything as it was. */
MUST_USE struct err *manifests_apply(
	struct repo *r, const char *prefix, const struct pin_change *changes, size_t count);
