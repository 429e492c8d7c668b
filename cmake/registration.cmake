# Makes the package known as a ROS 2 middleware: get_available_rmw_implementations() of rmw_implementation_cmake, and
# rmw_implementation itself when RMW_IMPLEMENTATION is not set, look for resources of these types in the ament index.
set(_c rosidl_typesupport_introspection_c)
set(_cpp rosidl_typesupport_introspection_cpp)
if(COMMAND register_rmw_implementation)
  register_rmw_implementation("c:rosidl_typesupport_c:${_c}" "cpp:rosidl_typesupport_cpp:${_cpp}")
else()
  # The same for an environment whose `rmw` does not bring the function, because there is none.
  ament_index_register_resource("rmw_typesupport_c" CONTENT "${_c}")
  ament_index_register_resource("rmw_typesupport_cpp" CONTENT "${_cpp}")
  ament_index_register_resource("rmw_typesupport" CONTENT "${_c};${_cpp}")
endif()
# Lines that launch_testing shall not take for a program's own output: what the middleware logs to stderr.
ament_index_register_resource("rmw_output_patterns" CONTENT "^\\[rmw_hazcat_rs\\]")
