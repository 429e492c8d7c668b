# Packages that exist in both environments, and those of ROS 2 only. What was found is exported in turn.
set(HAZCAT_DEPENDENCIES
  rcutils
  rosidl_runtime_c
  rosidl_typesupport_introspection_c
  rosidl_typesupport_introspection_cpp)
if(HAZCAT_ROS)
  list(APPEND HAZCAT_DEPENDENCIES rmw)
endif()
foreach(_package IN LISTS HAZCAT_DEPENDENCIES)
  find_package(${_package} QUIET)
  if(NOT ${_package}_FOUND)
    message(FATAL_ERROR
      "The package ${_package} is missing. On a bare Debian, scripts/demo installs all that is needed; with ROS 2, "
      "source its setup.bash or run rosdep install.")
  endif()
endforeach()
ament_export_dependencies(${HAZCAT_DEPENDENCIES})
