# Sets HAZCAT_ROS: whether a ROS 2 with its own `rmw` package is sourced. Without one, the build takes Debian's rosidl and
# rcutils, and the project's own declaration of the rmw interface.
#
# A build folder belongs to one of the two: CMake's cache holds paths into the ROS 2 it was configured with.
find_package(rmw QUIET CONFIG)
if(rmw_FOUND)
  set(HAZCAT_ROS TRUE)
  set(_environment "ROS 2 with rmw ${rmw_VERSION} from ${rmw_DIR}")
else()
  set(HAZCAT_ROS FALSE)
  set(_environment "bare: no rmw package found, the project's own declaration is used")
endif()
message(STATUS "Environment: ${_environment}")

if(HAZCAT_ROS)
  # A cached rmw_DIR is found even when that ROS 2 is no longer sourced.
  set(_sourced FALSE)
  file(TO_CMAKE_PATH "$ENV{AMENT_PREFIX_PATH}:$ENV{CMAKE_PREFIX_PATH}" _prefixes)
  foreach(_prefix IN LISTS _prefixes CMAKE_PREFIX_PATH)
    if(_prefix)
      get_filename_component(_prefix "${_prefix}" REALPATH)
      get_filename_component(_rmw_dir "${rmw_DIR}" REALPATH)
      string(FIND "${_rmw_dir}/" "${_prefix}/" _position)
      if(_position EQUAL 0)
        set(_sourced TRUE)
      endif()
    endif()
  endforeach()
  if(NOT _sourced)
    message(FATAL_ERROR
      "This build folder was configured with the ROS 2 at ${rmw_DIR}, which is not sourced now. Source it, or give "
      "each environment a build folder of its own (colcon build --build-base), or delete ${CMAKE_BINARY_DIR}.")
  endif()
endif()
if(DEFINED CACHE{HAZCAT_ENVIRONMENT_ROS} AND NOT "${HAZCAT_ENVIRONMENT_ROS}" STREQUAL "${HAZCAT_ROS}")
  message(FATAL_ERROR
    "This build folder was configured without ROS 2, and one is sourced now. Give each environment a build folder of "
    "its own (colcon build --build-base), or delete ${CMAKE_BINARY_DIR}.")
endif()
set(HAZCAT_ENVIRONMENT_ROS "${HAZCAT_ROS}" CACHE INTERNAL "whether this build folder was configured with ROS 2")

# HAZCAT_AMENT_PREFIX_PATH, HAZCAT_CMAKE_PREFIX_PATH: what cargo's build scripts look for headers in. Without our own prefix, which is
# sourced in some builds and not in others: they would make all bindings anew each time. But a prefix may be shared with what we
# need (colcon build --merge-install).
file(GLOB _beside_us RELATIVE "${CMAKE_INSTALL_PREFIX}/share/ament_index/resource_index/packages"
  "${CMAKE_INSTALL_PREFIX}/share/ament_index/resource_index/packages/*")
list(FILTER _beside_us EXCLUDE REGEX "^${PROJECT_NAME}$")
foreach(_variable IN ITEMS AMENT_PREFIX_PATH CMAKE_PREFIX_PATH)
  file(TO_CMAKE_PATH "$ENV{${_variable}}" HAZCAT_${_variable})
  if(HAZCAT_${_variable} AND NOT _beside_us)
    list(REMOVE_ITEM HAZCAT_${_variable} "${CMAKE_INSTALL_PREFIX}")
  endif()
  list(JOIN HAZCAT_${_variable} ":" HAZCAT_${_variable})
endforeach()
