/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The build graph: immutable, hash-consed operations. Pure: no files, clock, network or environment.
 *
 * A node yields one file system (a list of layers) from the file systems of its inputs. The definition digest
 * of a node covers what is asked and its inputs' definition digests, never where it came from in the source,
 * names for display, time or host. A NULL input is the empty file system (scratch).
 *
 * Ownership: nodes live in their graph until graph_free; what is passed in is copied; all strings of a node
 * are borrowed. Threads: nodes may be made and read by many; a node does not change once it is made.
 */
#pragma once

#include "base/compiler.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/event.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op_kind {
	OP_IMAGE, /* a container image */
	OP_GIT,   /* a git commit's tree */
	OP_HTTP,  /* a file by URL */
	OP_LOCAL, /* a directory of the caller's machine */
	OP_EXEC,  /* run a program */
	OP_FILE,  /* copy, mkdir, mkfile, symlink, rm: one layer on input 0 */
	OP_MERGE, /* inputs stacked, later ones on top */
	OP_DIFF,  /* what input 1 has over input 0 */
	OP_MOUNT, /* input 0 with what the EXEC that is input 1 wrote where it was mounted */
};

enum pull_policy { PULL_MISSING, PULL_ALWAYS, PULL_NEVER };

struct op_image {
	const char *ref;       /* normalized reference, or "name@digest" */
	const char *platform;  /* "linux/amd64", "linux/arm64/v8" */
	enum pull_policy pull; /* not part of the digest */
};

struct op_git {
	const char *url;
	const char *ref;      /* branch, tag, full ref or commit; NULL: the remote's HEAD */
	const char *subdir;   /* NULL: the whole tree */
	const char *checksum; /* commit it must be (prefix), or NULL */
	bool keep_git_dir;
	bool no_submodules;
	bool include_tags;       /* in the kept .git */
	int depth;               /* of the history in it; 0: 1; negative: all */
	int64_t mtime;           /* ns: of all files; 0: the commit's */
	const char *auth_secret; /* id of a secret that is sent as Authorization over HTTP; NULL: none */
};

struct op_http {
	const char *url;
	const char *checksum; /* "sha256:..." or NULL */
	const char *filename; /* what the file is called in the result */
	uint32_t mode;        /* 0: 0600 */
	uint32_t uid, gid;
	bool server_time;        /* the file has the time that the server says, if it does */
	const char *auth_secret; /* id of a secret that is sent as Authorization; NULL: none */
};

struct op_local {
	const char *name;           /* "context", a named context, ... the executor knows its directory */
	const char *const *include; /* ignore-file syntax; NULL: all */
	const char *const *exclude; /* ignore-file syntax, last match wins, "!" negates */
};

/* Of a mount that the EXEC was told to keep. */
struct op_mount {
	const char *target;
};

enum network_mode { NETWORK_HOST, NETWORK_NONE, NETWORK_ISOLATED };
enum mount_kind { MOUNT_BIND, MOUNT_CACHE, MOUNT_TMPFS, MOUNT_SECRET, MOUNT_SSH };
enum cache_sharing { CACHE_SHARED, CACHE_PRIVATE, CACHE_LOCKED };

#define INPUT_NONE (-1)

struct exec_mount {
	enum mount_kind kind;
	const char *target; /* absolute, clean; NULL for a secret that is only an environment variable */
	int input; /* index of the node's input that is mounted (BIND) or seeds the cache; INPUT_NONE: empty
		    */
	const char *source; /* path within it; NULL: its root */
	bool writable; /* BIND: writes are allowed and discarded; CACHE: default true is set by the frontend
			*/
	bool keep;     /* BIND of a whole input, writable: an OP_MOUNT can have what was written */
	const char *cache_id;
	enum cache_sharing sharing;
	const char *secret_id; /* SECRET; SSH: agent id */
	const char *env;       /* SECRET: variable that receives it, or NULL */
	bool required;
	uint32_t mode, uid, gid; /* CACHE, SECRET, SSH */
	const char *owner; /* CACHE, SECRET: "user[:group]" as of a file action, names of input 0; instead of
			      uid and gid; NULL: those count */
	uint64_t size;     /* TMPFS; 0: unlimited */
};

struct op_exec {
	const char *const *argv;
	const char *const *env; /* "K=V", in order */
	const char *cwd;        /* absolute */
	const char *user;       /* "name", "uid", "user:group"; NULL: root */
	enum network_mode network;
	bool insecure;                  /* all capabilities, no seccomp */
	const char *hostname;           /* NULL: "cooper" */
	const char *const *extra_hosts; /* "name=ip" */
	const struct exec_mount *mounts;
	size_t mount_count;
	const uint8_t *accept; /* exit codes accepted besides 0 */
	size_t accept_count;
	const char *const *proxy_env; /* "K=V" handed to the step, not part of the digest */
	const char *stdin_text;       /* NULL: /dev/null */
	const char *redirect_stdin;   /* file that is its input, relative to cwd; wins over stdin_text */
	const char *
		redirect_stdout; /* file that also gets what the program wrote, relative to cwd; NULL: none */
	const char *redirect_stderr;
	bool reject_zero; /* exit code 0 is a failure */
};

enum file_action_kind { FILE_COPY, FILE_MKDIR, FILE_MKFILE, FILE_SYMLINK, FILE_REMOVE, FILE_TIMES };

struct file_action {
	enum file_action_kind kind;
	/* COPY */
	int input;                  /* index of the input that sources come from */
	const char *const *sources; /* clean, relative to its root; "" is the root */
	bool wildcard;              /* sources are path_match patterns a component each */
	bool allow_empty;  /* a wildcard without matches is fine; the frontend sets it as its language says */
	bool dir_contents; /* a directory source means what is in it (Dockerfile COPY) */
	bool dress_top;    /* with dir_contents: dest takes mode, owner and times of the source directory */
	bool follow_links; /* a source that is a symlink is followed (its last component) */
	bool dest_is_dir;  /* dest ended with a slash, or there are several sources */
	bool parents;      /* COPY --parents: keep the sources' parent directories below dest (after "/./") */
	bool unpack;       /* ADD: an archive is extracted */
	bool replace; /* what is in the way goes, whatever it is; else a directory and a file exclude each
			 other */
	const char *const *exclude; /* ignore-file syntax relative to each source root */
	const char *const *include;
	/* all */
	const char *dest;   /* absolute, clean */
	const char *owner;  /* "user[:group]", names or numbers, "user:=" for the user's number as its group;
			       NULL: 0:0, and COPY from another node keeps  owners */
	int names_from;     /* index of the input in whose passwd owner is looked up; 0: the base */
	bool keep_owner;    /* COPY: owners of the source stay (COPY --from); owner wins if set */
	const char *mode;   /* octal or symbolic; NULL: source's, or 0755/0644 */
	struct str data;    /* MKFILE */
	const char *target; /* SYMLINK: where it points */
	bool make_parents;  /* MKDIR: also the parents, no error if it exists */
	bool allow_missing; /* REMOVE */
	int64_t seconds;    /* TIMES: since 1970, for dest and all below it */
};

struct op_file {
	const struct file_action *actions;
	size_t action_count;
	bool link; /* COPY --link: made on an empty base and merged: independent of the base's content */
};

struct node;

struct op {
	enum op_kind kind;
	union {
		struct op_image image;
		struct op_git git;
		struct op_http http;
		struct op_local local;
		struct op_exec exec;
		struct op_file file;
		struct op_mount mount;
	};
	/* MERGE and DIFF are their inputs */
};

/* For people; not part of the digest. When equal nodes are asked for twice the first one's label stays. */
struct node_label {
	const char *name; /* "[build 3/7] RUN make" */
	struct source_range where;
	bool ignore_cache; /* --no-cache: part of the identity (never merged with a normal node), not of the
			      digest */
	bool hidden;       /* internal helper, not shown as a step */
};

struct graph;
struct graph *graph_new(void);
void graph_free(struct graph *g);
void graph_freep(struct graph **g);

/*
 * The node for op over inputs (all of this graph or NULL). ERR_INVALID if op breaks a rule above (an input
 * index out of range, a relative cwd, ...). Equal ones give the same node.
 */
MUST_USE struct err *graph_node(struct graph *g, const struct op *op, struct node *const *inputs,
	size_t input_count, const struct node_label *label, struct node **out);

const struct op *node_op(const struct node *n);
size_t node_input_count(const struct node *n);
struct node *node_input(const struct node *n, size_t i); /* may be NULL */
const struct node_label *node_label(const struct node *n);
const struct digest *node_digest(const struct node *n);    /* definition: op and inputs */
const struct digest *node_op_digest(const struct node *n); /* op alone, without its inputs */
uint32_t node_number(const struct node *n); /* from 1, in order of making; stable for display */
const char *op_kind_name(enum op_kind k);
bool op_is_source(enum op_kind k); /* IMAGE, GIT, HTTP, LOCAL */

/* The canonical bytes that node_op_digest hashes, for docs, tests and "why did it miss": JSON, sorted keys.
 * Caller frees. */
char *op_json(const struct op *op);
