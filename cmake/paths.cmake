# Refuses early, and by name, what rosidl's CMake code answers with "list index: 1 out of range" or worse: build folders that it
# cannot have. (It keeps paths in files that it reads back without saying in what encoding, and in lists.)
if(CMAKE_CURRENT_BINARY_DIR MATCHES "[^ -~]|[;#]")
  message(FATAL_ERROR
    "ROS 2 cannot generate messages in ${CMAKE_CURRENT_BINARY_DIR}: the path of a build folder must have ASCII characters only, and "
    "neither ';' nor '#'. The source may stay where it is: colcon build --build-base <folder>.")
endif()
