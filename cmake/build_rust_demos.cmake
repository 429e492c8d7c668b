# Run at build time by cmake/rust_demos.cmake: builds demos/<CRATE> with cargo. Whatever went wrong, BASE/not_built.txt
# says it; it is an error if REQUIRED is ON, and a warning if it is AUTO.
set(_reason ${BASE}/not_built.txt)
set(_log ${BASE}/build.log)
file(MAKE_DIRECTORY ${BASE})
file(REMOVE ${_log})

# run(<variable> <what> <command>...): clears <variable> and says why in _reason, if the command fails.
function(run ok what)
  execute_process(COMMAND ${ARGN}
    WORKING_DIRECTORY ${SOURCE} RESULT_VARIABLE _result OUTPUT_VARIABLE _output ERROR_VARIABLE _output)
  file(APPEND ${_log} "${_output}")
  if(_result EQUAL 0)
    return()
  endif()
  # A build script says its error after a panic. Otherwise cargo tells the chain from what it wanted to what went wrong.
  if(_output MATCHES "panicked at [^\n]*\n([^\n]*)")
    string(STRIP "${CMAKE_MATCH_1}" _error)
  else()
    string(REGEX MATCH "error[^\n]*(\n[^\n]+)?" _error "${_output}")
    if(_output MATCHES ".*Caused by:\n *([^\n]+)")
      string(APPEND _error ": ${CMAKE_MATCH_1}")
    endif()
  endif()
  file(WRITE ${_reason} "${what} failed (${_result}): ${_error}\n")
  set(${ok} FALSE PARENT_SCOPE)
endfunction()

# As in library.cmake.
set(_environment
  ${CMAKE_COMMAND} -E env --unset=MAKEFLAGS --unset=MFLAGS --unset=CARGO_BUILD_TARGET "ROS_DISTRO=${DISTRIBUTION}")
set(_ok TRUE)
if(CRATE STREQUAL "rclrs")
  run(_ok "generating messages"
    ${_environment} "AMENT_PREFIX_PATH=${PREFIXES}" ${PYTHON} generate_messages.py --output ${BASE}/messages)
  string(PREPEND PREFIXES "${BASE}/messages:")
endif()
if(_ok)
  run(_ok "cargo build"
    ${_environment} "AMENT_PREFIX_PATH=${PREFIXES}" "CARGO_TARGET_DIR=${BASE}/cargo" ${CARGO} build --release --locked)
endif()
if(_ok)
  file(REMOVE ${_reason})
  return()
endif()

# What an earlier build left is not installed in its place.
file(REMOVE ${PROGRAMS})
file(READ ${_reason} _text)
set(_text "The demo nodes with ${CRATE} were not built: ${_text}See ${_log} and demos/${CRATE}/README.md.")
if(REQUIRED STREQUAL "ON")
  message(FATAL_ERROR "${_text}")
endif()
message(WARNING "${_text} The middleware itself is complete; -DHAZCAT_RUST_DEMOS=OFF does not try again.")
