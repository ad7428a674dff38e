/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New containers of known patterns. The files come from templates/ (compiled in); nothing here asks the
 * network: what upstream has is found out before. Ownership: a spec borrows its texts.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/vec.h"
#include "repo/repo.h"

#include <stdbool.h>

struct scaffold_pattern {
	const char *name; /* "go-node" */
	enum build_kind kind;
	const char *summary; /* one line */
	bool upstream;       /* can be made for a project elsewhere */
	bool package;        /* can be made for a package */
};
extern const struct scaffold_pattern scaffold_patterns[]; /* ends with a name NULL */
/* ERR_USAGE with a suggestion and the list. */
MUST_USE struct err *scaffold_pattern_find(const char *name, const struct scaffold_pattern **out);

/* What upstream releases for one architecture. */
struct scaffold_download {
	char *arch; /* OCI's: "amd64" */
	char *url;  /* with {version} where the version stands */
	char sha256[65];
};

struct scaffold_spec {
	const struct scaffold_pattern *pattern;
	const char *name, *version;
	const char *image;   /* "registry/namespace/name": manifests too; NULL: no manifests */
	const char *package; /* of the distribution, or of the Go module; NULL: the pattern's own */
	/* A git repository to build from (pattern "go"): NULL: the source is in the folder. The tag has
	 * {version} where the version stands; commit: 40 hex that it stands for. */
	const char *upstream, *tag, *commit;
	/* An archive of nixpkgs (pattern "nix") and the sum that Nix has for what is in it. NULL: without
	 * nixpkgs. */
	const char *snapshot, *sum;
	/* Pattern "download"; none: the files are in the folder. */
	const struct scaffold_download *downloads;
	size_t download_count;
};

struct scaffold_file {
	char *path; /* relative to the repository */
	struct buf text;
	bool executable;
};
struct scaffold {
	char *dir;           /* of the container, relative to the repository */
	char *manifests_dir; /* NULL: none */
	struct vec files;    /* of struct scaffold_file */
};
void scaffold_fini(struct scaffold *s);

/*
 * What would be written. Names, versions, addresses and packages are checked so that none of them can break
 * out of where it stands in a file: ERR_INVALID says which. cfg says where containers and manifests are.
 */
MUST_USE struct err *scaffold_make(
	const struct scaffold_spec *spec, const struct repo_config *cfg, struct scaffold *out);
/* Can the address be written into a Dockerfile, and be shown to everybody? ERR_INVALID. git: of a repository,
 * else of a download, which may hold {version} and {arch}. */
MUST_USE struct err *scaffold_check_address(const char *url, bool git);
/* Is it a name, and is there room for a container (and manifests) of it? ERR_INVALID, ERR_EXISTS says what is
 * there. */
MUST_USE struct err *scaffold_check(
	struct repo *r, const struct repo_config *cfg, const char *name, bool manifests);
/* Both folders, or nothing. ERR_EXISTS as above. */
MUST_USE struct err *scaffold_write(struct repo *r, const struct scaffold *s);
