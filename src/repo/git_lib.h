/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of libgit2 that are used, by pointer: the library is opened with the first repository. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"

#include <git2.h>

#define GIT_FUNCTIONS(X)                       \
	X(git_libgit2_init)                    \
	X(git_libgit2_opts)                    \
	X(git_error_last)                      \
	X(git_repository_open_ext)             \
	X(git_repository_free)                 \
	X(git_repository_is_bare)              \
	X(git_repository_workdir)              \
	X(git_repository_path)                 \
	X(git_repository_commondir)            \
	X(git_repository_odb)                  \
	X(git_repository_index)                \
	X(git_index_entrycount)                \
	X(git_index_get_byindex)               \
	X(git_index_free)                      \
	X(git_repository_head_unborn)          \
	X(git_revparse_single)                 \
	X(git_object_peel)                     \
	X(git_object_free)                     \
	X(git_commit_lookup)                   \
	X(git_commit_id)                       \
	X(git_commit_time)                     \
	X(git_commit_summary)                  \
	X(git_commit_tree)                     \
	X(git_commit_parentcount)              \
	X(git_commit_parent_id)                \
	X(git_tree_lookup)                     \
	X(git_tree_entry_bypath)               \
	X(git_tree_entry_byindex)              \
	X(git_tree_entry_free)                 \
	X(git_tree_entrycount)                 \
	X(git_tree_entry_id)                   \
	X(git_tree_entry_name)                 \
	X(git_tree_entry_filemode)             \
	X(git_blob_lookup)                     \
	X(git_blob_rawcontent)                 \
	X(git_blob_rawsize)                    \
	X(git_odb_free)                        \
	X(git_odb_exists)                      \
	X(git_odb_exists_prefix)               \
	X(git_odb_read_header)                 \
	X(git_odb_foreach)                     \
	X(git_oid_fromstrn)                    \
	X(git_oid_tostr)                       \
	X(git_oid_equal)                       \
	X(git_oid_ncmp)                        \
	X(git_revwalk_new)                     \
	X(git_revwalk_push)                    \
	X(git_revwalk_next)                    \
	X(git_revwalk_free)                    \
	X(git_graph_reachable_from_any)        \
	X(git_merge_base)                      \
	X(git_diff_options_init)               \
	X(git_diff_tree_to_workdir_with_index) \
	X(git_diff_num_deltas)                 \
	X(git_diff_get_delta)                  \
	X(git_diff_free)                       \
	X(git_reference_lookup)                \
	X(git_reference_dwim)                  \
	X(git_reference_peel)                  \
	X(git_reference_name)                  \
	X(git_reference_free)                  \
	X(git_reference_iterator_glob_new)     \
	X(git_reference_next)                  \
	X(git_reference_iterator_free)         \
	X(git_repository_config)               \
	X(git_config_open_default)             \
	X(git_config_free)                     \
	X(git_config_iterator_new)             \
	X(git_config_next)                     \
	X(git_config_iterator_free)            \
	X(git_status_options_init)             \
	X(git_status_list_new)                 \
	X(git_status_list_entrycount)          \
	X(git_status_byindex)                  \
	X(git_status_list_free)

struct git_lib {
#define X(f) __typeof__(f) *f;
	GIT_FUNCTIONS(X)
#undef X
};

/* Opens the library once a process. *out is valid for the life of the process. Threads: any. */
MUST_USE struct err *git_lib_get(const struct git_lib **out);

/* After git_lib_get; for cleanup. Each frees what the variable holds, if anything. */
void git_repository_freep(git_repository **p);
void git_object_freep(git_object **p);
void git_commit_freep(git_commit **p);
void git_tree_freep(git_tree **p);
void git_blob_freep(git_blob **p);
void git_tree_entry_freep(git_tree_entry **p);
void git_reference_freep(git_reference **p);
void git_reference_iterator_freep(git_reference_iterator **p);
void git_odb_freep(git_odb **p);
void git_revwalk_freep(git_revwalk **p);
void git_diff_freep(git_diff **p);
void git_config_freep(git_config **p);
void git_index_freep(git_index **p);
void git_config_iterator_freep(git_config_iterator **p);
void git_status_list_freep(git_status_list **p);
