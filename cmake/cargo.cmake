# Chooses the cargo that builds everything. Out: HAZCAT_CARGO, HAZCAT_CARGO_VERSION.
#
# A distribution's own cargo is often too old, and stays installed beside rustup's: the first that is recent enough is taken, of
# PATH, $CARGO_HOME and ~/.cargo, unless -DHAZCAT_CARGO decides. One that is too old is not noted in the cache, so that the
# next try finds what has been installed meanwhile.
set(HAZCAT_MINIMUM_CARGO 1.85)

# hazcat_cargo_version(<variable> <cargo>): its version, from where a toolchain file of the source would count; empty if it cannot run.
function(hazcat_cargo_version version cargo)
  execute_process(
    COMMAND "${cargo}" --version
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
    OUTPUT_VARIABLE _output ERROR_QUIET RESULT_VARIABLE _result)
  set(_version "")
  if(_result EQUAL 0)
    string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" _version "${_output}")
  endif()
  set(${version} "${_version}" PARENT_SCOPE)
endfunction()

set(_candidates "${HAZCAT_CARGO}")
if(NOT HAZCAT_CARGO)
  string(REPLACE ":" ";" _folders "$ENV{PATH}")
  if(NOT "$ENV{CARGO_HOME}" STREQUAL "")
    list(APPEND _folders "$ENV{CARGO_HOME}/bin")
  endif()
  list(APPEND _folders "$ENV{HOME}/.cargo/bin")
  set(_candidates "")
  foreach(_folder IN LISTS _folders)
    if(EXISTS "${_folder}/cargo" AND NOT IS_DIRECTORY "${_folder}/cargo")
      list(APPEND _candidates "${_folder}/cargo")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES _candidates)
endif()

set(_seen "")
set(HAZCAT_CARGO_VERSION "")
foreach(_candidate IN LISTS _candidates)
  hazcat_cargo_version(_version "${_candidate}")
  if(_version AND NOT _version VERSION_LESS HAZCAT_MINIMUM_CARGO)
    set(HAZCAT_CARGO "${_candidate}" CACHE FILEPATH "cargo ${HAZCAT_MINIMUM_CARGO} or later")
    set(HAZCAT_CARGO_VERSION ${_version})
    break()
  endif()
  if(NOT _version)
    set(_version "does not run")
  endif()
  list(APPEND _seen "${_candidate} (${_version})")
endforeach()
if(NOT HAZCAT_CARGO_VERSION)
  list(JOIN _seen ", " _seen)
  if(NOT _seen)
    set(_seen "none")
  endif()
  message(FATAL_ERROR
    "cargo ${HAZCAT_MINIMUM_CARGO} or later is needed; found: ${_seen}. Install it with rustup (https://rustup.rs; "
    "`rustup update` where that is too old) or, on Debian 12, as the packages cargo-web and rustc-web. "
    "-DHAZCAT_CARGO=<path> chooses another one.")
endif()
message(STATUS "cargo: ${HAZCAT_CARGO} ${HAZCAT_CARGO_VERSION}")
